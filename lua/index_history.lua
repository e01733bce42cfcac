#!lua flags=allow-oom
--[[ index_history: record, once per store, that every later entry of the history is marked under its names.
Atomic because no entry may come between the look and the record. During an import nothing is recorded: it adds entries
without marks.
KEYS     meta     hash     {po}:meta
         history  stream   {po}:history
ARGV     NONE
RETURNS  the newest entry that may have no mark, '' during an import
ERRORS   NONE
TIME     O(1)
]]
if redis.call('HEXISTS', meta, 'imports4') == 1 then return '' end
local after = redis.call('HGET', meta, 'indexed_after')
if after then return after end
after = newest_id(history) or '0-0'
redis.call('HSET', meta, 'indexed_after', after)
return after
