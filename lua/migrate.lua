#!lua flags=allow-oom
--[[ migrate: give data of an older format the names that the present one has for it; its entries and records are read
as they are. Of formats 1 to 3 that is all mail, of formats 1 and 2 the events, too.
Atomic because a daemon of the older format that still runs must find all of it or nothing: it would take entries of a
newer one for altered ones. From then on it stores no mail, and is told of the format when it next asks; of formats 1 to
3 it is told of an import until then.
KEYS     meta          hash     {po}:meta
         agents        hash     {po}:agents
         events_2      stream   {po}:events
         events        stream   {po}:events3
         broadcasts_1  stream   {po}:broadcasts
         broadcasts_2  stream   {po}:broadcasts2
         broadcasts    stream   {po}:broadcasts4
         order         zset     {po}:order:all; behind it of each name inbox (format 1, 2, now), dead (1, 2, now), order
ARGV     format        the format that the data has then
         names         JSON array of all names in the hash agents, whose keys these are
RETURNS  1 done, now or before | 0 there are other names by now
ERRORS   NONE
TIME     O(n) in the names
]]
local before = tonumber(redis.call('HGET', meta, 'format') or 1)
if before >= tonumber(format) then return 1 end
names = cjson.decode(names)
if redis.call('HLEN', agents) ~= #names then return 0 end
for _, name in ipairs(names) do
  if redis.call('HEXISTS', agents, name) == 0 then return 0 end
end
local function move(from, to)
  if redis.call('EXISTS', from) == 1 then redis.call('RENAME', from, to) end
end
local of_format_1 = before < 2
move(of_format_1 and broadcasts_1 or broadcasts_2, broadcasts)
for first = 9, #KEYS, 7 do
  local since_2 = of_format_1 and 0 or 1
  move(KEYS[first + since_2], KEYS[first + 2])
  move(KEYS[first + 3 + since_2], KEYS[first + 5])
  if of_format_1 then redis.call('UNLINK', KEYS[first + 6]) end
end
if of_format_1 then redis.call('UNLINK', order) end
move(events_2, events)
-- each format has its own field that tells of an import, and refuses mail where the one of an older format is set
local telling, running = { 'import', 'imports', 'imports3' }, nil
for older = math.max(before, 1), #telling do
  running = running or redis.call('HGET', meta, telling[older])
  redis.call('HSET', meta, telling[older], 'format ' .. format)
end
if running then redis.call('HSET', meta, 'imports4', running) end
redis.call('HSET', meta, 'format', format)
return 1
