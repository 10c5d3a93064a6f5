-- Renew leases.
-- ARGV: … lease in microseconds, id, token, id, token …
local lost, cancelled = {}, {}
local ends = text_of(now() + tonumber(ARGV[4]))
for index = 5, #ARGV, 2 do
  local item, token = load(ARGV[index]), ARGV[index + 1]
  if not item or item.st ~= LEASED or item.tok ~= token then
    lost[#lost + 1] = token
  else
    redis.call('ZADD', prefix .. 'i', ends, item.id)
    redis.call('PEXPIRE', item.key, KEEP_MS)
    if item.flag ~= '' then cancelled[#cancelled + 1] = token end
  end
end
return {lost, cancelled}
