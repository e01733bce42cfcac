#!lua
--[[ import_fields: set those fields of a hash that it lacks. Repeating adds nothing.
Atomic because another process may set one of them meanwhile, or rename the agent.
KEYS     open    hash   {po}:open:<agent>, or {po}:feed, {po}:notices, {po}:sessions
         agents  hash   {po}:agents
ARGV     agent   the present name of the agent whose hash it is; '' if it is nobody's
         fields  JSON array of names and values
RETURNS  ok, number of fields added
         alias, present name
ERRORS   NONE
TIME     O(n) in the fields
]]
local target = agent ~= '' and alias_of(agents, agent)
if target then return { 'alias', target } end
local added = 0
for _, pair in ipairs(cjson.decode(fields)) do
  if redis.call('HEXISTS', open, pair[1]) == 0 then
    redis.call('HSET', open, pair[1], pair[2])
    added = added + 1
  end
end
return { 'ok', added }
