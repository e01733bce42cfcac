#!lua flags=no-writes
--[[ export_ids: return some of the message ids that are remembered for an agent; repeated until the cursor is 0, all.
Atomic because names and ids must be of one moment.
KEYS     index    hash   {po}:index:<agent>
         agents   hash   {po}:agents
ARGV     agent    the present name
         cursor   of the previous reply, at first 0
         count    about how many to return
RETURNS  ok, cursor, items; an item is id, index record
         alias, present name
ERRORS   NONE
TIME     O(count)
]]
local target = alias_of(agents, agent)
if target then return { 'alias', target } end
local reply = redis.call('HSCAN', index, cursor, 'COUNT', count)
local items = {}
for at = 1, #reply[2], 2 do
  local id = reply[2][at]
  if string.sub(id, 1, 1) ~= '#' then
    items[#items + 1] = { id, reply[2][at + 1] }
  end
end
return { 'ok', reply[1], items }
