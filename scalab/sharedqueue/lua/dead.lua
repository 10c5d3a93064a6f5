-- The items that were lost last.
-- ARGV: … most of them
return redis.call('XREVRANGE', prefix .. 'dead', '+', '-', 'COUNT', ARGV[4])
