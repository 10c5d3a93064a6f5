-- Read our mail, after throwing away what we have read before.
-- ARGV: … most letters to read, then the names of those to throw away
local box = prefix .. 'mb:' .. me
for index = 5, #ARGV, 100 do
  redis.call('XDEL', box, unpack(ARGV, index, math.min(index + 99, #ARGV)))
end
return redis.call('XRANGE', box, '-', '+', 'COUNT', ARGV[4])
