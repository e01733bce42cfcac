#!lua flags=allow-oom
--[[ ack: acknowledge messages for the session that holds them.
Atomic because a message must leave the inbox and take its final state in one step.
A late ack counts as long as nobody else has taken the message; one's own acknowledged id counts again.
KEYS     inbox     stream   {po}:inbox:<agent>
         leases    zset     {po}:leases:<agent>
         index     hash     {po}:index:<agent>
         events    stream   {po}:events
         agents    hash     {po}:agents
ARGV     agent     the reader's present name
         consumer  the reading session
         ids       JSON array of message ids
RETURNS  ok, acknowledged ids, rejected ids
         alias, present name
ERRORS   NONE
TIME     O(n) in the ids named
]]
--@include lib/now
--@include lib/event
--@include lib/agent
--@include lib/entry
--@include lib/settle
--@include lib/held
local inbox, leases, index, events, agents = unpack(KEYS)
local agent, consumer, ids = ARGV[1], ARGV[2], cjson.decode(ARGV[3])
local target = alias_of(agents, agent)
if target then return { 'alias', target } end
local now = now_ms()
local done, fresh, rejected = {}, {}, {}
for _, id in ipairs(ids) do
  local entry = load_entry(index, id)
  if entry and entry.st == 'acked' and entry.r == consumer then
    done[#done + 1] = id
  elseif entry and (entry.st == 'leased' or entry.st == 'queued') and held(inbox, entry.s) == consumer then
    settle(inbox, leases, index, entry.s, id, 'acked', now)
    done[#done + 1] = id
    fresh[#fresh + 1] = id
  else
    rejected[#rejected + 1] = id
  end
end
if #fresh > 0 then
  emit(events, 'msg_ack', 'ids', cjson.encode(fresh), 'to', agent, 'reader', consumer)
end
return { 'ok', done, rejected }
