-- End an item early, or see to it that it never begins.
-- ARGV: … id, session, gone, kill
local id, session, gone, kill = ARGV[4], tonumber(ARGV[5]), ARGV[6] == '1', ARGV[7] == '1'

local item = load(id)
if not item then
  -- The request for it may still be on its way, and must not come to life later.
  item = {id = id, key = prefix .. 'it:' .. id, origin = '', att = 0, waited = 0}
  redis.call('HSET', item.key, 'ses', ARGV[5], 'att', 0, 'waited', 0)
  finish(item, 'cancelled', '', ENDED_MS, gone)
  return {'cancelled', ending(item)}
end
if session < tonumber(item.ses) then return {'moved'} end
redis.call('HSET', item.key, 'ses', ARGV[5])
if item.st == ENDED then
  if not gone then redis.call('HSET', item.key, 'gone', '') end
  return {'ended', ending(item)}
end
if item.st == WAITING then
  finish(item, 'cancelled', '', ENDED_MS, gone)
  return {'cancelled', ending(item)}
end
if not kill then return {'running'} end
if item.flag ~= 'client' then redis.call('HSET', item.key, 'flag', gone and 'gone' or 'client') end
mail(item.own, 'k', 'kill', 'id', id, 'tok', item.tok)
return {'killing'}
