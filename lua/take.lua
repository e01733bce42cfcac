#!lua flags=allow-oom
--[[ take: lease one message to a session that waits for it, ahead of those before it.
Atomic because a message handed out, its lease and its delivery count must agree. The new messages before it become
delivered ones that anybody can read, which counts as no delivery: a read gives them first, in their order.
KEYS     inbox           stream   {po}:inbox4:<agent>
         leases          zset     {po}:leases:<agent>
         index           hash     {po}:index:<agent>
         events          stream   {po}:events3
         agents          hash     {po}:agents
         presence        zset     {po}:presence
         sessions        hash     {po}:sessions
         changes         stream   {po}:changes
ARGV     agent           the reader's present name
         consumer        the reading session
         id              message id
         lease_ms        length of the lease
         max_deliveries  deliveries before a message is dead
         ttl_ms          time to live
         ack_now         '1': acknowledge in the same step
         acting          '1': the consumer is a session that must act as the agent
RETURNS  ok, an item as of read; none: somebody else holds or has read the message, or it has ended
         alias, present name
         acts as, its agent, or unknown: the session does not act as it should, see lib/acting.lua
ERRORS   NONE
TIME     O(n) in the new messages before it, at most 1000: behind more it is left to be read
]]
local target = alias_of(agents, agent)
if target then return { 'alias', target } end
local now = now_ms()
local wrong = not_acting_as(agents, presence, sessions, acting == '1' and consumer or '', agent, now)
if wrong then return wrong end

ttl_ms, max_deliveries = bounds_of(agents, agent, tonumber(ttl_ms), tonumber(max_deliveries))
local entry, altered = load_entry(index, id)
local fields = entry and (entry.st == 'queued' or entry.st == 'leased') and fields_at(inbox, entry.s)
if altered or entry and fields == nil or fields and message_of(fields) ~= id then
  --@include lib/recovered
  entry = recovered(inbox, nil, id)
  fields = entry and fields_at(inbox, entry.s)
end
if not fields or lasts(leases, entry.s, now) or is_expired(entry.s, ttl_ms, now) then return { 'ok' } end
local holder, deliveries = delivery_of(inbox, entry.s)
if deliveries >= max_deliveries then return { 'ok' } end

-- let the group's place reach the message, as if all up to it had been read and given back unseen
if not holder then
  -- created by the first read and from the start of the stream; it exists if anybody has read
  redis.pcall('XGROUP', 'CREATE', inbox, 'agents', '0')
  for _ = 1, 1000 do
    local got = redis.call('XREADGROUP', 'GROUP', 'agents', '#nobody', 'COUNT', 1, 'STREAMS', inbox, '>')
    local stream_id = got and got[1][2][1][1]
    if not stream_id then return { 'ok' } end
    redis.call('XCLAIM', inbox, 'agents', '#nobody', 0, stream_id, 'RETRYCOUNT', 0, 'JUSTID')
    redis.call('ZADD', leases, 0, stream_id) -- due since ever: it has not returned, which would notify of it again
    holder = stream_id == entry.s and '#nobody'
    if holder then break end
  end
  if not holder then return { 'ok' } end
end

redis.call('XCLAIM', inbox, 'agents', consumer, 0, entry.s, 'RETRYCOUNT', deliveries + 1, 'JUSTID')
redis.call('ZADD', leases, now + lease_ms, entry.s)
entry.st, entry.r, entry.n, entry.l = 'leased', consumer, deliveries + 1, now
save_entry(index, id, entry)
local redelivered = (deliveries > 0 or entry.a) and 1 or 0
local again = redelivered > 0 and { 'redelivered', 1 } or {}
emit(events, 'msg_read', 'ids', cjson.encode({ id }), 'to', agent, 'reader', consumer, unpack(again))
if ack_now == '1' then
  finish(inbox, leases, index, entry.s, id, 'acked', now)
  emit(events, 'msg_ack', 'ids', cjson.encode({ id }), 'to', agent, 'reader', consumer)
end
local record = agent_from(agents, agent, now)
record.reads, record.seen = true, now
save_agent(agents, changes, agent, record)
return { 'ok', { entry.s, deliveries + 1, redelivered, fields, entry.d or '' } }
