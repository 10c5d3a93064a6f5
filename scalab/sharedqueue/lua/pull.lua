-- Take the items that have waited longest, under a lease.
-- ARGV: … pull, count, lease in microseconds, max_attempts
local pull, wanted, lease_us, max_attempts =
  prefix .. 'pl:' .. ARGV[4], tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])

local function handed(item)
  return {
    item.id, item.tok, redis.call('HGET', item.key, 'body'), tonumber(item.att),
    tonumber(item.waited),
  }
end

local items = {}
local before = redis.call('LRANGE', pull, 0, -1)
if #before > 0 then
  -- The answer was lost, so it is given again: all of it that is still true.
  for index = 1, #before, 2 do
    local item = load(before[index])
    if item and item.st == LEASED and item.tok == before[index + 1] then
      items[#items + 1] = handed(item)
    end
  end
  return {items, redis.call('ZCARD', prefix .. 'w')}
end

reap(max_attempts)
local tries = wanted + 1000
while #items < wanted and tries > 0 do
  tries = tries - 1
  local head = redis.call('ZRANGE', prefix .. 'w', 0, 0)
  if #head == 0 then break end
  local item = load(head[1])
  if not item or item.st ~= WAITING then
    redis.call('ZREM', prefix .. 'w', head[1])
  elseif is_orphan(item) then
    drop(item)
  else
    leave_line(item)
    item.st, item.tok, item.own = LEASED, next_number(), me
    redis.call('HSET', item.key, 'st', LEASED, 'tok', item.tok, 'own', me)
    redis.call('ZADD', prefix .. 'i', text_of(now() + lease_us), item.id)
    redis.call('RPUSH', pull, item.id, item.tok)
    items[#items + 1] = handed(item)
  end
end
if #items > 0 then
  redis.call('PEXPIRE', pull, math.ceil(lease_us / 1000))
  mortal(prefix .. 'i')
  count('delivered', #items)
end
return {items, redis.call('ZCARD', prefix .. 'w')}
