#!lua flags=allow-oom
--[[ keep_spellings: let the lower case of names lead to them, as it does for those that are new, and begin the list of
changes. Repeating does nothing.
Atomic because a name may be taken meanwhile.
KEYS     agents   hash     {po}:agents
         changes  stream   {po}:changes
ARGV     names    JSON array of names in the hash that have capitals
RETURNS  1
ERRORS   NONE
TIME     O(n) in the names
]]
local kept = {}
for _, name in ipairs(cjson.decode(names)) do
  if redis.call('HEXISTS', agents, name) == 1 and keep_spelling(agents, name) then kept[#kept + 1] = name end
end
if #kept > 0 or redis.call('EXISTS', changes) == 0 and redis.call('EXISTS', agents) == 1 then
  note_changes(changes, kept)
end
return 1
