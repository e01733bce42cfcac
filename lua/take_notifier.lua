#!lua flags=allow-oom
--[[ take_notifier: let one daemon of several be the one that notifies people, for a time.
Atomic because two daemons must not both find the place free.
KEYS     notifier  hash  {po}:notifier
ARGV     daemon    id of the daemon that asks
         hold_ms   how long it takes the place; 0: it only asks
RETURNS  1 the daemon has the place | 0, the notifier's state | '', the time
ERRORS   NONE
TIME     O(1)
]]
hold_ms = tonumber(hold_ms)
local now = now_ms()
local known = redis.call('HMGET', notifier, 'daemon', 'until', 'state')
local left = (tonumber(known[2] or '') or 0) - now
-- a place that is held for longer than anybody takes it: the clock went back
local free = known[1] == daemon or left <= 0 or (hold_ms > 0 and left > 2 * hold_ms)
local mine = free and hold_ms > 0
if mine then redis.call('HSET', notifier, 'daemon', daemon, 'until', digits(now + hold_ms)) end
return { mine and 1 or 0, known[3] or '', digits(now) }
