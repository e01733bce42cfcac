#!lua
--[[ import_ids: remember message ids whose messages have ended, so that a retry of one is still recognised.
Atomic because no other process may remember one of them meanwhile. Repeating adds nothing.
KEYS     index    hash   {po}:index:<agent>
         agents   hash   {po}:agents
ARGV     agent    the present name
         rows     JSON array: id, record (of the index)
RETURNS  ok, number of ids added
         alias, present name
ERRORS   NONE
TIME     O(n log n) in the rows
]]
local target = alias_of(agents, agent)
if target then return { 'alias', target } end
local added = 0
for _, row in ipairs(cjson.decode(rows)) do
  if redis.call('HEXISTS', index, row.id) == 0 then
    save_entry(index, row.id, row.record)
    added = added + 1
  end
end
return { 'ok', added }
