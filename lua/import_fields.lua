#!lua
--[[ import_fields: set those fields of a hash that it lacks. Repeating adds nothing.
Atomic because another process may set one of them meanwhile.
KEYS     feed    hash   {po}:feed, {po}:notices, {po}:sessions, or {po}:open:<agent>
ARGV     pairs   JSON array of names and values
RETURNS  number of fields added
ERRORS   NONE
TIME     O(n) in the fields
]]
local feed = KEYS[1]
local added = 0
for _, pair in ipairs(cjson.decode(ARGV[1])) do
  if redis.call('HEXISTS', feed, pair[1]) == 0 then
    redis.call('HSET', feed, pair[1], pair[2])
    added = added + 1
  end
end
return added
