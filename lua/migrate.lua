#!lua flags=allow-oom
--[[ migrate: give data of an older format the names that the present one has for it; its entries and records are read as
they are. Of format 1 that is all mail, of format 2 the events.
Atomic because a daemon of the older format that still runs must find all of it or nothing: it would take entries of a
newer one for altered ones. From then on it is told of an import when it stores mail, and of the format when it next asks.
KEYS     meta          hash     {po}:meta
         agents        hash     {po}:agents
         events_2      stream   {po}:events
         events        stream   {po}:events3
         broadcasts_1  stream   {po}:broadcasts
         broadcasts    stream   {po}:broadcasts2
         order         zset     {po}:order:all; behind it, of each name, inbox, its new name, dead, its new name, order
ARGV     format        the format that the data has then
         names         JSON array of all names in the hash agents, whose keys these are; data of format 2 needs none
RETURNS  1 done, now or before | 0 there are other names by now
ERRORS   NONE
TIME     O(n) in the names
]]
local meta, agents, events_2, events, broadcasts_1, broadcasts, order = unpack(KEYS, 1, 7)
local before, import_1, import_2 = unpack(redis.call('HMGET', meta, 'format', 'import', 'imports'))
before = tonumber(before or 0)
if before >= tonumber(ARGV[1]) then return 1 end
local function move(from, to)
  if redis.call('EXISTS', from) == 1 then redis.call('RENAME', from, to) end
end
if before < 2 then
  local names = cjson.decode(ARGV[2])
  if redis.call('HLEN', agents) ~= #names then return 0 end
  for _, name in ipairs(names) do
    if redis.call('HEXISTS', agents, name) == 0 then return 0 end
  end
  move(broadcasts_1, broadcasts)
  redis.call('UNLINK', order)
  for first = 8, #KEYS, 5 do
    move(KEYS[first], KEYS[first + 1])
    move(KEYS[first + 2], KEYS[first + 3])
    redis.call('UNLINK', KEYS[first + 4])
  end
end
move(events_2, events)
-- each format has its own field that tells of an import, and refuses mail where the one of an older format is set
local running = import_2
if before < 2 then
  running = import_1
  redis.call('HSET', meta, 'import', 'format ' .. ARGV[1])
end
if running then redis.call('HSET', meta, 'imports3', running) end
redis.call('HSET', meta, 'format', ARGV[1], 'imports', 'format ' .. ARGV[1])
return 1
