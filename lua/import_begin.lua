#!lua
--[[ import_begin: reserve an empty mailroom for one import. Until its end, nothing else can store mail.
Atomic because no message may be accepted between the look and the reservation.
KEYS     meta        hash     {po}:meta
         history     stream   {po}:history
         broadcasts  stream   {po}:broadcasts4
         feed        hash     {po}:feed
ARGV     export      id of the export that is imported
RETURNS  1 this import was begun before and is continued | 0
ERRORS   IMPORTING   another import has not finished
         NOT_EMPTY   there is history or a broadcast
TIME     O(1)
]]
local running = redis.call('HGET', meta, 'imports4')
if running == export then return 1 end
if running then
  return redis.error_reply('IMPORTING the import of another file has not finished; repeat that, or end it with '
    .. '`postino import --abandon`')
end
if redis.call('XLEN', history) > 0 or redis.call('HEXISTS', feed, 'last') == 1 then
  return redis.error_reply('NOT_EMPTY this mailroom has had mail already; import into a new store, or under another '
    .. 'POSTINO_KEY_PREFIX')
end
-- an empty stream still refuses IDs from before its last entry
redis.call('UNLINK', history, broadcasts)
redis.call('HSET', meta, 'imports4', export)
redis.call('HDEL', meta, 'indexed_after') -- the imported entries have no marks
return 0
