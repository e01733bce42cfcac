#!lua flags=allow-oom
--[[ index_history: record, once per store, that every later entry of the history is marked under its names.
Atomic because no entry may come between the look and the record. During an import nothing is recorded: it adds entries
without marks.
KEYS     meta     hash     {po}:meta
         history  stream   {po}:history
ARGV     NONE
RETURNS  1
ERRORS   NONE
TIME     O(1)
]]
if redis.call('HEXISTS', meta, 'imports4') + redis.call('HEXISTS', meta, 'indexed_after') == 0 then
  redis.call('HSET', meta, 'indexed_after', newest_id(history) or '0-0') -- the newest entry that may have no mark
end
return 1
