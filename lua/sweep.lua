#!lua flags=allow-oom
--[[ sweep: end the messages of one inbox that are expired or had their last delivery, and correct the times of those
that a step of the clock hides. Housekeeping runs it.
Atomic because a message must leave the inbox and reach its final state in one step. Bounded: examines 1000 messages,
1000 ended leases and about 200 ids, and ends 100 messages of either kind.
KEYS     inbox           stream   {po}:inbox4:<agent>
         leases          zset     {po}:leases:<agent>
         index           hash     {po}:index:<agent>
         events          stream   {po}:events3
         agents          hash     {po}:agents
         dead            stream   {po}:dead4:<agent>
         notices         hash     {po}:notices
ARGV     agent           the present name
         ttl_ms          time to live
         idle_ms         a consumer with nothing pending is deleted when it was idle this long
         max_deliveries  deliveries before a message is dead
         max_dead        most dead letters stored
         longest_ms      the longest that a lease or delay can be
RETURNS  ok, 1 there is more to do now | 0, messages that are left, stream ID of the oldest of them | ''
         alias, present name
ERRORS   NONE
TIME     O(n) in the messages ended
]]
ttl_ms, max_deliveries, max_dead = tonumber(ttl_ms), tonumber(max_deliveries), tonumber(max_dead)
local keys = { inbox = inbox, leases = leases, index = index, dead = dead, events = events, agents = agents,
  notices = notices }
local target = alias_of(agents, agent)
if target then return { 'alias', target } end
local now, more = now_ms(), 0
local mail_ttl_ms
mail_ttl_ms, max_deliveries = bounds_of(agents, agent, ttl_ms, max_deliveries)
if redis.call('EXISTS', inbox) == 1 then
  if expire(keys, agent, mail_ttl_ms, now, max_dead) == most_ended then more = 1 end
  local died, shown_again = 0, {}
  for at, stream_id in ipairs(mend_leases(inbox, leases, now, tonumber(longest_ms))) do
    local fields = at <= most_ended and fields_at(inbox, stream_id)
    if fields then shown_again[#shown_again + 1] = message_of(fields) end
  end
  for _, stream_id in ipairs(due_messages(inbox, leases, index, events, now)) do
    local _, deliveries = delivery_of(inbox, stream_id)
    if lasts(leases, stream_id, now) then -- a step back of the clock has hidden it: let a check count it
      redis.call('ZADD', leases, now, stream_id)
      local hidden = fields_at(inbox, stream_id)
      if hidden and #shown_again < most_ended then shown_again[#shown_again + 1] = message_of(hidden) end
    end
    local fields = deliveries >= max_deliveries and fields_at(inbox, stream_id)
    if fields and died == most_ended then
      more = 1
      break
    elseif fields then
      move_to_dead(keys, agent, stream_id, fields, deliveries, now, max_dead)
      died = died + 1
    end
  end
  if #shown_again > 0 then emit(events, 'msg_release', 'ids', cjson.encode(shown_again), 'to', agent, 'reader', '') end
  local consumers = redis.pcall('XINFO', 'CONSUMERS', inbox, 'agents')
  for _, consumer in ipairs(consumers.err and {} or consumers) do
    if field(consumer, 'pending') == 0 and field(consumer, 'idle') >= tonumber(idle_ms) then
      redis.call('XGROUP', 'DELCONSUMER', inbox, 'agents', field(consumer, 'name'))
    end
  end
end
local function mend(id)
  --@include lib/recovered
  return recovered(inbox, dead, id)
end
local forgotten, through = sweep_index(index, ttl_ms, now, 200, mend)
if forgotten > 20 and not through then more = 1 end -- else the next round of housekeeping is soon enough
local oldest = redis.call('XRANGE', inbox, '-', '+', 'COUNT', 1)[1]
return { 'ok', more, redis.call('XLEN', inbox), oldest and oldest[1] or '' }
