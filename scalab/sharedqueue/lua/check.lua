-- Tell what has become of items.
-- ARGV: … id, session, id, session …
local answers = {}
for index = 4, #ARGV, 2 do
  local item = load(ARGV[index])
  local session = tonumber(ARGV[index + 1])
  local answer
  if not item or session > tonumber(item.ses) then answer = {'unknown'}
  elseif session < tonumber(item.ses) then answer = {'moved'}
  elseif item.st == ENDED then answer = {'ended', 0, ending(item)}
  else
    redis.call('PEXPIRE', item.key, KEEP_MS)
    answer = {item.st == WAITING and 'waiting' or 'running'}
  end
  answers[#answers + 1] = answer
end
return answers
