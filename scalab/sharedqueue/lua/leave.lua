-- Say that we are gone. What waits keeps its place for clients that come back elsewhere.
redis.call('ZADD', prefix .. 'fe', 'XX', text_of(now()), me)
redis.call('DEL', prefix .. 'mb:' .. me)
redis.call('HDEL', prefix .. 'reports', me)
return 0
