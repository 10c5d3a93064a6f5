-- Give in the reply to an item.
-- ARGV: … id, token, reply, how long it is kept in milliseconds, cancelled
local token, reply, keep_ms, cancelled = ARGV[5], ARGV[6], ARGV[7], ARGV[8] == '1'

local item = load(ARGV[4])
if item and item.last == token and item.tok ~= token then
  -- The answer was lost: this has been done.
  if item.st ~= ENDED then return {'again', 0} end
  return {item.origin == me and 'own' or 'mailed', tonumber(item.ses)}
end
if not item or item.st ~= LEASED or item.tok ~= token then
  count('stale')
  return {'stale', 0}
end
redis.call('HSET', item.key, 'last', token)
if cancelled and item.flag == '' then
  -- It was ended because its client had gone, and the client has come back.
  give_back(item, false, 0, '')
  return {'again', 0}
end
item.att = text_of(redis.call('HINCRBY', item.key, 'att', 1))
finish(item, 'done', reply, keep_ms, cancelled and item.flag == 'gone')
if item.origin == me then return {'own', tonumber(item.ses)} end
mail_ending(item)
return {'mailed', tonumber(item.ses)}
