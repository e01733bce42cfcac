#!lua flags=allow-oom
--[[ make_room: forget the oldest quarter of the history, because memory is short and mail matters more.
Atomic because it is one command.
KEYS     history   stream   {po}:history
ARGV     NONE
RETURNS  number of entries forgotten
ERRORS   NONE
TIME     O(n) in the entries forgotten
]]
local history = KEYS[1]
local length = redis.call('XLEN', history)
return redis.call('XTRIM', history, 'MAXLEN', math.max(0, math.min(length - 100, math.floor(length * 3 / 4))))
