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
--@include lib/agent
--@include lib/delivery
--@include lib/entry
--@include lib/event
--@include lib/move_to_dead
--@include lib/now
--@include lib/people
--@include lib/stream
local keys = { inbox = KEYS[1], leases = KEYS[2], index = KEYS[3], dead = KEYS[4], events = KEYS[5],
  agents = KEYS[6], notices = KEYS[7] }
local agent, consumer, ids, delay_ms = ARGV[1], ARGV[2], cjson.decode(ARGV[3]), tonumber(ARGV[4])
local max_deliveries, max_dead, undo = tonumber(ARGV[5]), tonumber(ARGV[6]), ARGV[7] == '1'
local counts = ARGV[8] ~= '' and cjson.decode(ARGV[8])
local target = alias_of(keys.agents, agent)
if target then return { 'alias', target } end
local now, _ = now_ms(), nil
_, max_deliveries = bounds_of(keys.agents, agent, 0, max_deliveries)
local returned, rejected, dead = {}, {}, {}
for at, id in ipairs(ids) do
  local entry = load_entry(keys.index, id)
  local holder, deliveries = nil, 0
  if entry and entry.st == 'leased' then holder, deliveries = delivery_of(keys.inbox, entry.s) end
  if holder ~= consumer or (counts and counts[at] ~= deliveries) then
    rejected[#rejected + 1] = id
  elseif deliveries >= max_deliveries and not undo then
    move_to_dead(keys, agent, entry.s, fields_at(keys.inbox, entry.s), deliveries, now, max_dead)
    dead[#dead + 1] = id
  else
    if undo then deliveries = deliveries - 1 end
    -- claimed for a name that no session can have, so that an acknowledgement after one's own nack is rejected
    local nobody = delay_ms > 0 and '#delayed' or '#nobody'
    redis.call('XCLAIM', keys.inbox, 'agents', nobody, 0, entry.s, 'RETRYCOUNT', deliveries, 'JUSTID')
    redis.call('ZADD', keys.leases, now + delay_ms, entry.s)
    entry.st, entry.n, entry.r = 'queued', deliveries, nil
    save_entry(keys.index, id, entry)
    returned[#returned + 1] = id
  end
end
if #returned > 0 then
  emit(keys.events, 'msg_nack', 'ids', cjson.encode(returned), 'to', agent, 'reader', consumer,
    'delay_ms', delay_ms)
end
return { 'ok', returned, rejected, dead }
