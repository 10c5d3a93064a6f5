-- End what waits, up to a number of items; their clients are told.
-- ARGV: … number
local ids = redis.call('ZRANGE', prefix .. 'w', 0, tonumber(ARGV[4]) - 1)
for _, id in ipairs(ids) do
  local item = load(id)
  if item and item.st == WAITING then
    finish(item, 'cancelled', '', ENDED_MS)
    mail_ending(item)
  else
    redis.call('ZREM', prefix .. 'w', id)
  end
end
return #ids
