-- Empty the list of lost items.
local number = redis.call('XLEN', prefix .. 'dead')
redis.call('DEL', prefix .. 'dead')
return number
