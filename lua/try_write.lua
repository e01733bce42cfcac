#!lua
--[[ try_write: write something, as a send would, to find out whether the store takes it.
Atomic because it is one write. Refused wherever a send is: out of memory, read-only, disk full, during an import.
KEYS     meta    hash   {po}:meta
ARGV     NONE
RETURNS  the time that was written
ERRORS   IMPORTING   nothing was written
         WRONG_STORE nothing was written
TIME     O(1)
]]
local refusal = importing(meta)
if refusal then return refusal end
local now = digits(now_ms())
redis.call('HSET', meta, 'written', now)
return now
