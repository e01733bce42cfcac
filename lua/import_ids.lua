#!lua
--[[ import_ids: remember message ids whose messages have ended, so that a retry of one is still recognised.
Atomic because a record and the time when it may be forgotten must be written together. Repeating adds nothing.
KEYS     index    hash   {po}:index:<agent>
         order    zset   {po}:order:<agent>
         agents   hash   {po}:agents
ARGV     agent    the present name
         rows     JSON array: id, record (of the index), forget (ms)
RETURNS  ok, number of ids added
         alias, present name
ERRORS   NONE
TIME     O(n log n) in the rows
]]
--@include lib/agent
local index, order, agents = unpack(KEYS)
local agent, rows = ARGV[1], cjson.decode(ARGV[2])
local target = alias_of(agents, agent)
if target then return { 'alias', target } end
local added = 0
for _, row in ipairs(rows) do
  if redis.call('HEXISTS', index, row.id) == 0 then
    redis.call('HSET', index, row.id, cjson.encode(row.record))
    redis.call('ZADD', order, row.forget, row.id)
    added = added + 1
  end
end
return { 'ok', added }
