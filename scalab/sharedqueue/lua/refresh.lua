-- Say that we are there, take back what others let lie, and look at the queue.
-- ARGV: … how long we are thought alive in microseconds, max_attempts, report
local time, life = now(), prefix .. 'life'
local known = redis.call('HMGET', life, 'gen', 'seen', 'hold')
local generation, hold = known[1] or text_of(time), known[3] or '0'
if known[2] and time - tonumber(known[2]) > GAP_US then hold = text_of(time + HOLD_US) end
redis.call('HSET', life, 'gen', generation, 'seen', text_of(time), 'hold', hold)
redis.call('ZADD', prefix .. 'fe', text_of(time + tonumber(ARGV[4])), me)
redis.call('HSET', prefix .. 'reports', me, ARGV[6])
reap(tonumber(ARGV[5]))

-- What waits for frontends that are dead, a few at a time.
local dead = on_hold() and {} or redis.call('ZRANGE', prefix .. 'fe', '-inf',
  '(' .. text_of(time - ORPHAN_US), 'BYSCORE', 'LIMIT', 0, 4)
for _, frontend in ipairs(dead) do
  local ids = redis.call('SPOP', prefix .. 'own:' .. frontend, 100)
  for _, id in ipairs(ids) do
    local item = load(id)
    if item and item.st == WAITING and item.origin == frontend then drop(item) end
  end
  if #ids < 100 then
    redis.call('ZREM', prefix .. 'fe', frontend)
    redis.call('HDEL', prefix .. 'reports', frontend)
    redis.call('DEL', prefix .. 'mb:' .. frontend)
  end
end

for _, name in ipairs({'w', 'i', 'fe', 'reports', 'n', 'life', 'dead', 'stats', 'own:' .. me}) do
  redis.call('PEXPIRE', prefix .. name, KEEP_MS)
end
redis.call('PEXPIRE', prefix .. 'mb:' .. me, MAIL_MS)

local oldest, head = 0, redis.call('ZRANGE', prefix .. 'w', 0, 0)
if #head > 0 then
  local item = load(head[1])
  if item and item.st == WAITING then oldest = time - tonumber(item.since) end
end
local alive = redis.call('ZRANGE', prefix .. 'fe', '(' .. text_of(time), '+inf', 'BYSCORE',
  'LIMIT', 0, 1000)
return {
  redis.call('ZCARD', prefix .. 'w'), redis.call('ZCARD', prefix .. 'i'), oldest,
  #alive, generation, redis.call('HMGET', prefix .. 'reports', unpack(alive)),
}
