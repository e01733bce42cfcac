#!lua flags=allow-oom
--[[ keep_spellings: let the lower case of names lead to them, as it does for those that are new. Repeating does nothing.
Atomic because a name may be taken meanwhile.
KEYS     agents   hash     {po}:agents
ARGV     names    JSON array of names in the hash that have capitals
RETURNS  1
ERRORS   NONE
TIME     O(n) in the names
]]
--@include lib/agent
local agents = unpack(KEYS)
for _, name in ipairs(cjson.decode(ARGV[1])) do
  if redis.call('HEXISTS', agents, name) == 1 then keep_spelling(agents, name) end
end
return 1
