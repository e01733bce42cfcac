#!lua flags=allow-oom
--[[ nack: give leased messages back before their lease ends.
Atomic because the last allowed delivery must end in the dead letters in the same step.
KEYS     inbox           stream   {po}:inbox:<agent>
         leases          zset     {po}:leases:<agent>
         index           hash     {po}:index:<agent>
         dead            stream   {po}:dead:<agent>
         events          stream   {po}:events
         agents          hash     {po}:agents
         notices         hash     {po}:notices
ARGV     agent           the reader's present name
         consumer        the reading session
         ids             JSON array of message ids
         delay_ms        not to be given out before this has passed
         max_deliveries  deliveries before a message is dead
         max_dead        most dead letters kept
         undo            '1': the answer was never sent, so the delivery does not count
         counts          JSON array of the deliveries meant: what was delivered again since is kept; or ''
RETURNS  ok, returned ids, rejected ids, dead ids
         alias, present name
ERRORS   NONE
TIME     O(n) in the ids named
]]
--@include lib/now
--@include lib/number
--@include lib/event
--@include lib/agent
--@include lib/entry
--@include lib/settle
--@include lib/bury
--@include lib/held
local keys = { inbox = KEYS[1], leases = KEYS[2], index = KEYS[3], dead = KEYS[4], events = KEYS[5],
  agents = KEYS[6], notices = KEYS[7] }
local agent, consumer, ids, delay_ms = ARGV[1], ARGV[2], cjson.decode(ARGV[3]), tonumber(ARGV[4])
local max_deliveries, max_dead, undo = tonumber(ARGV[5]), tonumber(ARGV[6]), ARGV[7] == '1'
local counts = ARGV[8] ~= '' and cjson.decode(ARGV[8])
local target = alias_of(keys.agents, agent)
if target then return { 'alias', target } end
local now = now_ms()
local returned, rejected, dead = {}, {}, {}
for at, id in ipairs(ids) do
  local entry = load_entry(keys.index, id)
  local holder, deliveries = nil, 0
  if entry and entry.st == 'leased' then holder, deliveries = held(keys.inbox, entry.s) end
  if holder ~= consumer or (counts and counts[at] ~= deliveries) then
    rejected[#rejected + 1] = id
  elseif deliveries >= max_deliveries and not undo then
    local fields = redis.call('XRANGE', keys.inbox, entry.s, entry.s)[1][2]
    bury(keys, agent, entry.s, fields, deliveries, now, max_dead)
    dead[#dead + 1] = id
  else
    if undo then deliveries = deliveries - 1 end
    -- held by nobody, under a name no session can have: an ack after one's own nack is too late
    redis.call('XCLAIM', keys.inbox, 'agents', '#nobody', 0, entry.s, 'RETRYCOUNT', deliveries, 'JUSTID')
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
