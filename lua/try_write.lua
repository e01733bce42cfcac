#!lua
--[[ try_write: write something, as a send would, to find out whether the store takes it.
Atomic because it is one write. Refused wherever a send is: out of memory, read-only, disk full.
KEYS     meta    hash   {po}:meta
ARGV     NONE
RETURNS  the time that was written
ERRORS   NONE
TIME     O(1)
]]
--@include lib/now
--@include lib/number
local meta = KEYS[1]
local now = digits(now_ms())
redis.call('HSET', meta, 'written', now)
return now
