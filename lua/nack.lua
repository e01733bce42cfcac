#!lua flags=allow-oom
--[[ nack: return leased messages to the inbox before their lease ends.
Atomic because the last allowed delivery must become a dead letter in the same step.
KEYS     inbox           stream   {po}:inbox4:<agent>
         leases          zset     {po}:leases:<agent>
         index           hash     {po}:index:<agent>
         dead            stream   {po}:dead4:<agent>
         events          stream   {po}:events3
         agents          hash     {po}:agents
         notices         hash     {po}:notices
ARGV     agent           the reader's present name
         consumer        the reading session
         ids             JSON array of message ids
         delay_ms        how long they are not to be read
         max_deliveries  deliveries before a message is dead
         max_dead        most dead letters stored
         undo            '1': the reader was never sent them, so the delivery does not count
         counts          JSON array of delivery counts, one per id: a message delivered again since is rejected; or ''
RETURNS  ok, returned ids, rejected ids, dead ids
         alias, present name
ERRORS   NONE
TIME     O(n) in the ids
]]
local keys = { inbox = inbox, leases = leases, index = index, dead = dead, events = events, agents = agents,
  notices = notices }
delay_ms, max_deliveries, max_dead = tonumber(delay_ms), tonumber(max_deliveries), tonumber(max_dead)
undo, counts = undo == '1', counts ~= '' and cjson.decode(counts)
local target = alias_of(agents, agent)
if target then return { 'alias', target } end
local now, _ = now_ms(), nil
_, max_deliveries = bounds_of(agents, agent, 0, max_deliveries)
local returned, rejected, died = {}, {}, {}
for at, id in ipairs(cjson.decode(ids)) do
  local entry, altered = load_entry(index, id)
  local holder, deliveries = nil, 0
  if entry and entry.st == 'leased' then holder, deliveries = delivery_of(inbox, entry.s) end
  if altered or entry and not holder then
    --@include lib/recovered
    entry = (altered or is_misplaced(inbox, entry)) and recovered(inbox, nil, id)
    if entry then holder, deliveries = delivery_of(inbox, entry.s) end
  end
  if holder ~= consumer or (counts and counts[at] ~= deliveries) then
    rejected[#rejected + 1] = id
  elseif deliveries >= max_deliveries and not undo then
    move_to_dead(keys, agent, entry.s, fields_at(inbox, entry.s), deliveries, now, max_dead)
    died[#died + 1] = id
  else
    if undo then deliveries = deliveries - 1 end
    -- claimed for a name that no session can have, so that an acknowledgement after one's own nack is rejected
    local nobody = delay_ms > 0 and '#delayed' or '#nobody'
    redis.call('XCLAIM', inbox, 'agents', nobody, 0, entry.s, 'RETRYCOUNT', deliveries, 'JUSTID')
    redis.call('ZADD', leases, now + delay_ms, entry.s)
    entry.st, entry.n, entry.r = 'queued', deliveries, nil
    save_entry(index, id, entry)
    returned[#returned + 1] = id
  end
end
if #returned > 0 then
  emit(events, 'msg_nack', 'ids', cjson.encode(returned), 'to', agent, 'reader', consumer,
    'delay_ms', delay_ms)
end
return { 'ok', returned, rejected, died }
