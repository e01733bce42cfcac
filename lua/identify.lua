#!lua flags=allow-oom
--[[ identify: tell which store this is, and give an id to one that has none.
Atomic because two daemons that start at once must agree on the id.
KEYS     meta    hash   {po}:meta
ARGV     id      the id that a store without one gets, or '' for none
         format  the format of its data, kept with a new id
RETURNS  the store's id or '', the format of its data or '', 1 given now | 0
ERRORS   NONE
TIME     O(1)
]]
local meta = KEYS[1]
local known = redis.call('HMGET', meta, 'id', 'format')
if known[1] or ARGV[1] == '' then return { known[1] or '', known[2] or '', 0 } end
redis.call('HSET', meta, 'id', ARGV[1], 'format', ARGV[2])
return { ARGV[1], ARGV[2], 1 }
