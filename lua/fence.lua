#!lua flags=allow-oom
--[[ fence: write something, so that WAIT and WAITAOF behind it wait for all that its connection wrote before.
Atomic because it is one write. A connection that has written nothing is told at once that everything is confirmed,
also what another connection wrote and no replica has; hence a write of its own. It is needed in a full memory too.
KEYS     meta    hash   {po}:meta
ARGV     NONE
RETURNS  1 the first time | 0
ERRORS   NONE
TIME     O(1)
]]
return redis.call('HSET', meta, 'fence', '')
