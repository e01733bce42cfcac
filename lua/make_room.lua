#!lua flags=allow-oom
--[[ make_room: forget the oldest quarter of the history, because memory is short and mail matters more.
Atomic because whoever follows what happens must hear of a gap, where it may not have been told of what is forgotten.
KEYS     history   stream   {po}:history
         events    stream   {po}:events3
ARGV     NONE
RETURNS  number of entries forgotten
ERRORS   NONE
TIME     O(n) in the entries forgotten
]]
local length = redis.call('XLEN', history)
local keep = math.max(0, math.min(length - 100, math.floor(length * 3 / 4)))
local forgotten = redis.call('XTRIM', history, 'MAXLEN', keep)
local oldest = redis.call('XRANGE', history, '-', '+', 'COUNT', 1)[1]
-- a daemon tells what happened some ms later, one that stalls some seconds later
if forgotten > 0 and (not oldest or id_parts(oldest[1]) > now_ms() - 10000) then
  emit(events, 'gap', 'reason', 'messages gave way to others before they were surely told, because memory is full')
end
return forgotten
