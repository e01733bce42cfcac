#!lua flags=allow-oom
--[[ identify: tell which store this is, and give an id to one that has none.
Atomic because two daemons that start at once must agree on the id.
KEYS     meta     hash     {po}:meta
         history  stream   {po}:history
ARGV     id       the id that a store without one gets, or '' for none
         format   the format of its data, kept with a new id; older data that has lost its id has format 2 or 1
RETURNS  the store's id or '', the format of its data or '', 1 given now | 0
ERRORS   NONE
TIME     O(1)
]]
local known = redis.call('HMGET', meta, 'id', 'format')
if known[1] or id == '' then return { known[1] or '', known[2] or '', 0 } end
local oldest = redis.pcall('XRANGE', history, '-', '+', 'COUNT', 1)[1] -- none if another program has this key
-- from format 4 on its entries have one field, unless they were imported: to convert those does nothing
local older = oldest and #oldest[2] > 2
if older then format = field(oldest[2], 'm') and '2' or '1' end
redis.call('HSET', meta, 'id', id, 'format', format)
return { id, format, 1 }
