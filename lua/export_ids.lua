#!lua flags=no-writes
--[[ export_ids: return some of the message ids that are remembered for an agent; repeated until the cursor is 0, all.
Atomic because a record and the time when it may be forgotten must be of one moment.
KEYS     index    hash   {po}:index:<agent>
         order    zset   {po}:order:<agent>
         agents   hash   {po}:agents
ARGV     agent    the present name
         cursor   of the previous reply, at first 0
         count    about how many to return
RETURNS  ok, cursor, items; an item is id, index record, forget time of the id ms or ''
         alias, present name
ERRORS   NONE
TIME     O(count)
]]
--@include lib/agent
local index, order, agents = unpack(KEYS)
local agent, cursor, count = ARGV[1], ARGV[2], ARGV[3]
local target = alias_of(agents, agent)
if target then return { 'alias', target } end
local reply = redis.call('HSCAN', index, cursor, 'COUNT', count)
local items = {}
for at = 1, #reply[2], 2 do
  local id = reply[2][at]
  if string.sub(id, 1, 1) ~= '#' then
    items[#items + 1] = { id, reply[2][at + 1], redis.call('ZSCORE', order, id) or '' }
  end
end
return { 'ok', reply[1], items }
