-- The time, in microseconds of the server's clock: nobody else's counts. One script, one moment.
local moment
local function now()
  if not moment then
    local time = redis.call('TIME')
    moment = time[1] * 1000000 + time[2]
  end
  return moment
end
