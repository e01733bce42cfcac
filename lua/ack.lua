#!lua flags=allow-oom
--[[ ack: acknowledge messages for the session that holds them.
Atomic because a message must leave the inbox and reach its final state in one step.
A late acknowledgement counts as long as no other session has read the message; repeating one counts again.
KEYS     inbox     stream   {po}:inbox4:<agent>
         leases    zset     {po}:leases:<agent>
         index     hash     {po}:index:<agent>
         events    stream   {po}:events3
         agents    hash     {po}:agents
         presence  zset     {po}:presence
         sessions  hash     {po}:sessions
         changes   stream   {po}:changes
ARGV     agent     the reader's present name
         consumer  the reading session
         ids       JSON array of message ids, each once
         acting    '1': the consumer is a session that must act as the agent
RETURNS  one text: ok and a space, then of each id 1 acknowledged | 0 rejected
         alias, present name
         acts as, its agent, or unknown: the session does not act as it should, see lib/acting.lua
ERRORS   NONE
TIME     O(n) in the ids
]]
local stored = redis.call('HGET', agents, agent)
if not stored or string.sub(stored, 1, 1) == '@' then
  --@include lib/agent
  local target = alias_of(agents, agent)
  if target then return { 'alias', target } end
  stored = nil
end
local now, time = now_ms()
if acting == '1' then
  --@include lib/acting
  local wrong = not_acting_as(agents, presence, sessions, consumer, agent, now)
  if wrong then return wrong end
end
local marks, ended = {}, {}
for at, id in ipairs(cjson.decode(ids)) do
  local entry, altered = load_entry(index, id)
  local repeated = entry and entry.st == 'acked' and entry.r == consumer
  local held = entry and (entry.st == 'leased' or entry.st == 'queued') and delivery_of(inbox, entry.s) == consumer
  if altered or entry and not held and not repeated then
    --@include lib/recovered
    entry = (altered or is_misplaced(inbox, entry)) and recovered(inbox, nil, id)
    held = entry and delivery_of(inbox, entry.s) == consumer
  end
  if held then
    finish(inbox, leases, index, entry.s, id, 'acked', time, nil, entry)
    ended[#ended + 1] = id
  end
  marks[at] = (held or repeated) and '1' or '0'
end
if #ended > 0 then
  emit(events, 'msg_ack', 'ids', cjson.encode(ended), 'to', agent, 'reader', consumer)
  if stored and string.find(stored, '"seen":0[,}]') then -- it was only written to: who acknowledges has acted
    --@include lib/agent
    local record = record_of(agent, stored)
    record.seen = now
    save_agent(agents, changes, agent, record)
  end
end
return 'ok ' .. table.concat(marks)
