#!lua flags=allow-oom
--[[ clear_broadcasts: delete all broadcasts; their numbers are not used again, and none of them counts as missed.
Atomic because the range recorded as cleared must be exactly what was deleted.
KEYS     broadcasts  stream   {po}:broadcasts4
         feed        hash     {po}:feed
         events      stream   {po}:events3
ARGV     ttl_ms      time to live
RETURNS  number of broadcasts deleted
ERRORS   NONE
TIME     O(n) in the broadcasts
]]
local last, first = broadcast_bounds(broadcasts, feed, now_ms(), tonumber(ttl_ms))
if first > last then return 0 end
local cleared = cleared_ranges(feed)
local latest = cleared[#cleared]
if latest and latest[2] == first - 1 then latest[2] = last else cleared[#cleared + 1] = { first, last } end
if #cleared > 64 then
  -- bounded: the oldest two become one range, so that a very old cursor counts fewer broadcasts as missed
  cleared[2][1] = cleared[1][1]
  table.remove(cleared, 1)
end
redis.call('HSET', feed, 'cleared', cjson.encode(cleared))
redis.call('XTRIM', broadcasts, 'MAXLEN', 0)
emit(events, 'broadcast_clear', 'count', last - first + 1)
return last - first + 1
