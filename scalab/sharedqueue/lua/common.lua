-- What all operations share; it stands before each of them.
--
-- KEYS[1] is the prefix of all keys of one queue. It holds a hash tag, so they live in one slot.
-- ARGV[1] is the frontend that asks, ARGV[2] how long an ending is kept in milliseconds, ARGV[3]
-- how long a frontend may be dead before its waiting items are dropped in microseconds.
--
--   w         ZSET    items that wait, by their place in the line
--   i         ZSET    items that are leased, by the end of the lease
--   it:ID     HASH    an item, see FIELDS
--   own:F     SET     items of frontend F's clients that have not ended
--   fe        ZSET    frontends, by the time until which they are thought alive
--   reports   HASH    what frontends tell each other of themselves
--   mb:F      STREAM  mailbox of frontend F: endings of its items, orders to end what it runs
--   pl:ID     LIST    what a pull has got: item, token, item, token …
--   n         STRING  counter of places and tokens, begun at the server's time
--   life      HASH    gen: names this life of the data; seen: when any frontend was here last;
--                     hold: until then nobody is given up
--   dead      STREAM  the last items that were lost
--   stats     HASH    counts
--
-- Every key has a time to live, which frontends renew: a queue that nobody serves any more leaves
-- nothing behind.
--
-- Numbers of this size go through text_of: Lua's own way to write them loses digits.

local prefix, me, ENDED_MS, ORPHAN_US = KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[3])
local KEEP_MS = 86400000
local MAIL_MS = 3600000
local DEAD_MAX = 1000
local GAP_US = 5000000
local HOLD_US = 5000000
local WAITING, LEASED, ENDED = 'w', 'l', 'e'

-- st       one of the above
-- origin   the frontend that its client is connected to
-- ses      the client's session with which it came: what an earlier one did late doesn't count
-- seq      its place in the line, which it keeps
-- att      backends that crashed with it, and leases that ran out
-- waited   time in the line before the present wait
-- since    when the present wait began
-- tok      the present hand-over, and who has it: own
-- flag     its end was asked for while it ran: by its client, or because the client has gone
-- last     the last hand-over that its holder itself ended
-- outcome  of an item that has ended; gone: a later session may bring it back to life
local FIELDS = {
  'st', 'origin', 'ses', 'seq', 'att', 'waited', 'since', 'tok', 'own', 'flag', 'last',
  'outcome', 'gone',
}

local function text_of(number) return string.format('%.0f', number) end

-- A key that may just have come into being gets its time to live.
local function mortal(key, ms) redis.call('PEXPIRE', key, ms or KEEP_MS, 'NX') end

local function count(what, by)
  by = by or 1
  if redis.call('HINCRBY', prefix .. 'stats', what, by) == by then mortal(prefix .. 'stats') end
end

local function next_number()
  local number = redis.call('INCR', prefix .. 'n')
  if number == 1 then
    -- New, or all data was lost: whatever was given out before is older than the time.
    number = now()
    redis.call('SET', prefix .. 'n', text_of(number), 'PX', KEEP_MS)
  end
  return text_of(number)
end

local function load(id)
  local key = prefix .. 'it:' .. id
  local values = redis.call('HMGET', key, unpack(FIELDS))
  if not values[1] then return nil end
  local item = {id = id, key = key}
  for index, field in ipairs(FIELDS) do item[field] = values[index] or '' end
  return item
end

local function mail(frontend, ...)
  local box = prefix .. 'mb:' .. frontend
  redis.call('XADD', box, '*', ...)
  mortal(box, MAIL_MS)
  redis.call('PUBLISH', prefix .. 'mail:' .. frontend, '')
end

-- Outcome, reply, attempts and time waited of an item that has ended.
local function ending(item)
  return {
    item.outcome, redis.call('HGET', item.key, 'reply') or '', tonumber(item.att) or 0,
    tonumber(item.waited) or 0,
  }
end

-- The item's client is now connected to us.
local function adopt(item)
  if redis.call('ZADD', prefix .. 'fe', 'NX', text_of(now()), me) == 1 then mortal(prefix .. 'fe') end
  if item.origin == me then return end
  if item.origin ~= '' then redis.call('SREM', prefix .. 'own:' .. item.origin, item.id) end
  redis.call('SADD', prefix .. 'own:' .. me, item.id)
  mortal(prefix .. 'own:' .. me)
  item.origin = me
end

-- Place in the line; whoever has nothing to do is told if there was no line before.
local function line_up(item)
  redis.call('PEXPIRE', item.key, KEEP_MS)
  redis.call('ZADD', prefix .. 'w', item.seq, item.id)
  if redis.call('ZCARD', prefix .. 'w') == 1 then
    mortal(prefix .. 'w')
    redis.call('PUBLISH', prefix .. 'wake', '')
  end
end

-- The present wait is over.
local function leave_line(item)
  redis.call('ZREM', prefix .. 'w', item.id)
  item.waited = text_of(tonumber(item.waited) + now() - tonumber(item.since))
  redis.call('HSET', item.key, 'waited', item.waited)
end

local function finish(item, outcome, reply, keep_ms, gone)
  if item.st == WAITING then leave_line(item) end
  redis.call('ZREM', prefix .. 'i', item.id)
  if item.origin ~= '' then redis.call('SREM', prefix .. 'own:' .. item.origin, item.id) end
  item.st, item.outcome, item.gone = ENDED, outcome, gone and '1' or ''
  redis.call('HDEL', item.key, 'body')
  redis.call('HSET', item.key, 'st', ENDED, 'outcome', outcome, 'reply', reply, 'gone', item.gone,
    'tok', '', 'own', '', 'flag', '')
  redis.call('PEXPIRE', item.key, keep_ms)
  count(outcome)
end

local function mail_ending(item)
  local outcome, reply, attempts, waited = unpack(ending(item))
  mail(item.origin, 'k', 'end', 'id', item.id, 'ses', item.ses, 'outcome', outcome, 'reply', reply,
    'att', attempts, 'waited', text_of(waited))
end

local function bury(item, why)
  redis.call('XADD', prefix .. 'dead', 'MAXLEN', DEAD_MAX, '*', 'id', item.id, 'at',
    text_of(now()), 'att', item.att, 'why', why, 'body', redis.call('HGET', item.key, 'body') or '')
  mortal(prefix .. 'dead')
end

-- If nobody was here for a while, the store was away, and nobody could renew anything: all get a
-- moment to come back, before what they had is taken from them.
local holding
local function on_hold()
  if holding == nil then
    local life = redis.call('HMGET', prefix .. 'life', 'seen', 'hold')
    holding = life[1] and (now() - tonumber(life[1]) > GAP_US or now() < tonumber(life[2]))
  end
  return holding
end

-- Whether nobody is there any more to tell how it ended.
local function is_orphan(item)
  if on_hold() then return false end
  local alive_until = redis.call('ZSCORE', prefix .. 'fe', item.origin)
  return not alive_until or tonumber(alive_until) + ORPHAN_US < now()
end

local function drop(item)
  count('dropped')
  redis.call('ZREM', prefix .. 'w', item.id)
  redis.call('SREM', prefix .. 'own:' .. item.origin, item.id)
  redis.call('DEL', item.key)
  item.st = ENDED
end

-- Its holder doesn't run it any more. Counted: it may have been the item's fault.
local function give_back(item, counted, max_attempts, why)
  redis.call('ZREM', prefix .. 'i', item.id)
  if counted then item.att = text_of(redis.call('HINCRBY', item.key, 'att', 1)) end
  if item.flag ~= '' then
    finish(item, 'cancelled', '', ENDED_MS, item.flag == 'gone')
    mail_ending(item)
  elseif counted and tonumber(item.att) >= max_attempts then
    bury(item, why)
    finish(item, 'lost', '', ENDED_MS)
    mail_ending(item)
  elseif is_orphan(item) then
    drop(item)
  else
    count('redelivered')
    redis.call('SADD', prefix .. 'own:' .. item.origin, item.id)
    mortal(prefix .. 'own:' .. item.origin)
    item.st = WAITING
    redis.call('HSET', item.key, 'st', WAITING, 'since', text_of(now()), 'tok', '', 'own', '')
    line_up(item)
  end
end

-- Take back what is leased for longer than its holder has said anything.
local function reap(max_attempts)
  if on_hold() then return end
  local ids = redis.call('ZRANGE', prefix .. 'i', '-inf', text_of(now()), 'BYSCORE', 'LIMIT', 0, 100)
  for _, id in ipairs(ids) do
    local item = load(id)
    if item and item.st == LEASED then
      count('expired')
      redis.call('HSET', item.key, 'last', '')
      give_back(item, true, max_attempts, 'its frontend has not renewed the lease')
    else
      redis.call('ZREM', prefix .. 'i', id)
    end
  end
end
