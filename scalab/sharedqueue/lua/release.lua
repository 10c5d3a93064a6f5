-- Give an item back.
-- ARGV: … id, token, counted, max_attempts, why
local token, counted, max_attempts, why = ARGV[5], ARGV[6] == '1', tonumber(ARGV[7]), ARGV[8]

local item = load(ARGV[4])
if item and item.last == token and item.tok ~= token then
  return item.st == ENDED and 'ended' or 'waiting'
end
if not item or item.st ~= LEASED or item.tok ~= token then return 'stale' end
redis.call('HSET', item.key, 'last', token)
give_back(item, counted, max_attempts, why)
return item.st == ENDED and 'ended' or 'waiting'
