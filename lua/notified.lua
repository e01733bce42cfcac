#!lua flags=allow-oom
--[[ notified: record how the recipient was told of waiting messages; the first time counts.
Atomic because a message that was read meanwhile must keep its record.
KEYS     index   hash     {po}:index:<agent>
         events  stream   {po}:events
         agents  hash     {po}:agents
ARGV     agent   the present name
         ids     JSON array of message ids
         how     socket, hook or channel
RETURNS  ok, number of messages marked
         alias, present name
ERRORS   NONE
TIME     O(n) in the ids named
]]
--@include lib/now
--@include lib/event
--@include lib/agent
--@include lib/entry
local index, events, agents = unpack(KEYS)
local agent, how, now = ARGV[1], ARGV[3], now_ms()
local target = alias_of(agents, agent)
if target then return { 'alias', target } end
local marked = {}
for _, id in ipairs(cjson.decode(ARGV[2])) do
  local entry = load_entry(index, id)
  if entry and not entry.h then
    entry.h, entry.ht = how, now
    save_entry(index, id, entry)
    marked[#marked + 1] = id
  end
end
if #marked > 0 then emit(events, 'msg_notified', 'ids', cjson.encode(marked), 'to', agent, 'how', how) end
return { 'ok', #marked }
