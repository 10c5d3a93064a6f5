-- Put an item in the line, or tell what has become of it.
-- ARGV: … id, body, session, limit, again
local id, body, session, limit, again =
  ARGV[4], ARGV[5], tonumber(ARGV[6]), tonumber(ARGV[7]), ARGV[8] == '1'

local item = load(id)
if item and session < tonumber(item.ses) then return {'moved'} end

local back = item and item.st == ENDED and item.gone == '1' and session > tonumber(item.ses)
if item and not back then
  if item.st == ENDED then return {'ended', 0, ending(item)} end
  -- Its client came back while it was being ended for the only reason that the client had gone.
  if item.flag == 'gone' and session > tonumber(item.ses) then
    redis.call('HSET', item.key, 'flag', '')
  end
  adopt(item)
  redis.call('HSET', item.key, 'ses', ARGV[6], 'origin', me)
  redis.call('PEXPIRE', item.key, KEEP_MS)
  return {item.st == WAITING and 'waiting' or 'running', 0}
end

if limit > 0 and not again and redis.call('ZCARD', prefix .. 'w') >= limit then
  count('rejected')
  return {'full', 0}
end

if back then redis.call('DEL', item.key) end
item = {
  id = id, key = prefix .. 'it:' .. id, origin = '',
  seq = back and item.seq ~= '' and item.seq or next_number(),
}
adopt(item)
redis.call('HSET', item.key, 'st', WAITING, 'body', body, 'ses', ARGV[6], 'origin', me,
  'seq', item.seq, 'since', text_of(now()), 'att', 0, 'waited', 0)
line_up(item)
count('enqueued')
return {'waiting', 1}
