-- Look at the queue.
local oldest, head = 0, redis.call('ZRANGE', prefix .. 'w', 0, 0)
if #head > 0 then
  local item = load(head[1])
  if item and item.st == WAITING then oldest = now() - tonumber(item.since) end
end
return {
  redis.call('ZCARD', prefix .. 'w'), redis.call('ZCARD', prefix .. 'i'), oldest,
  redis.call('ZCOUNT', prefix .. 'fe', '(' .. text_of(now()), '+inf'),
  redis.call('XLEN', prefix .. 'dead'), redis.call('HGETALL', prefix .. 'stats'),
}
