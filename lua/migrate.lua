#!lua flags=allow-oom
--[[ migrate: give data of format 1 the names that format 2 has for it; its entries and records are read as they are.
Atomic because a daemon of format 1 that still runs must find all of it or nothing: it would take entries of format 2 for
altered ones. From then on it is told of an import when it stores mail, and of the format when it next asks.
KEYS     meta          hash     {po}:meta
         agents        hash     {po}:agents
         broadcasts_1  stream   {po}:broadcasts
         broadcasts    stream   {po}:broadcasts2
         order         zset     {po}:order:all; behind it, of each name, inbox, its new name, dead, its new name, order
ARGV     format        the format that the data has then
         names         JSON array of all names in the hash agents, whose keys these are
RETURNS  1 done, now or before | 0 there are other names by now
ERRORS   NONE
TIME     O(n) in the names
]]
local meta, agents, broadcasts_1, broadcasts, order = unpack(KEYS, 1, 5)
local before = redis.call('HMGET', meta, 'format', 'import')
if tonumber(before[1] or 0) >= tonumber(ARGV[1]) then return 1 end
local names = cjson.decode(ARGV[2])
if redis.call('HLEN', agents) ~= #names then return 0 end
for _, name in ipairs(names) do
  if redis.call('HEXISTS', agents, name) == 0 then return 0 end
end
local function move(from, to)
  if redis.call('EXISTS', from) == 1 then redis.call('RENAME', from, to) end
end
move(broadcasts_1, broadcasts)
redis.call('UNLINK', order)
for first = 6, #KEYS, 5 do
  move(KEYS[first], KEYS[first + 1])
  move(KEYS[first + 2], KEYS[first + 3])
  redis.call('UNLINK', KEYS[first + 4])
end
if before[2] then redis.call('HSET', meta, 'imports', before[2]) end
redis.call('HSET', meta, 'format', ARGV[1], 'import', 'format ' .. ARGV[1])
return 1
