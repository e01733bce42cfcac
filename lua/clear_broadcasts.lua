#!lua flags=allow-oom
--[[ clear_broadcasts: empty the feed; numbers go on, and nobody is told to have missed these.
Atomic because the cleared range must be exactly what left.
KEYS     broadcasts  stream   {po}:broadcasts
         feed        hash     {po}:feed
         events      stream   {po}:events
ARGV     ttl_ms      time to live
RETURNS  number of broadcasts cleared
ERRORS   NONE
TIME     O(n) in the feed
]]
--@include lib/now
--@include lib/number
--@include lib/event
--@include lib/entry
--@include lib/cursor
local broadcasts, feed, events = unpack(KEYS)
local last, first = feed_bounds(broadcasts, feed, now_ms(), tonumber(ARGV[1]))
if first > last then return 0 end
local cleared = cjson.decode(redis.call('HGET', feed, 'cleared') or '[]')
local latest = cleared[#cleared]
if latest and latest[2] == first - 1 then latest[2] = last else cleared[#cleared + 1] = { first, last } end
if #cleared > 64 then
  -- bounded: the oldest two become one, so that a very old cursor is told of fewer missed ones
  cleared[2][1] = cleared[1][1]
  table.remove(cleared, 1)
end
redis.call('HSET', feed, 'cleared', cjson.encode(cleared))
redis.call('XTRIM', broadcasts, 'MAXLEN', 0)
emit(events, 'broadcast_clear', 'count', last - first + 1)
return last - first + 1
