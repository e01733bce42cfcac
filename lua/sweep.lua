#!lua flags=allow-oom
--[[ sweep: end what has outlived its time in one inbox; the daemon's housekeeping calls it now and then.
Atomic because it settles messages. Bounded: 1000 messages and 100 ids looked at.
KEYS     inbox           stream   {po}:inbox:<agent>
         leases          zset     {po}:leases:<agent>
         index           hash     {po}:index:<agent>
         order           zset     {po}:order:<agent>
         events          stream   {po}:events
         agents          hash     {po}:agents
ARGV     agent           the present name
         ttl_ms          time to live
         idle_ms         a consumer with nothing pending is deleted when idle for so long
RETURNS  ok, messages ended, ids looked at, consumers deleted
         alias, present name
ERRORS   NONE
TIME     O(n) in what is ended
]]
--@include lib/now
--@include lib/number
--@include lib/event
--@include lib/agent
--@include lib/entry
--@include lib/settle
--@include lib/expire
--@include lib/sweep_index
local inbox, leases, index, order, events, agents = unpack(KEYS)
local agent, ttl_ms, idle_ms = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local target = alias_of(agents, agent)
if target then return { 'alias', target } end
local now, ended, deleted = now_ms(), 0, 0
if redis.call('EXISTS', inbox) == 1 then
  ended = expire(inbox, leases, index, events, agent, ttl_ms, now)
  local consumers = redis.pcall('XINFO', 'CONSUMERS', inbox, 'agents')
  for _, consumer in ipairs(consumers.err and {} or consumers) do
    if field(consumer, 'pending') == 0 and field(consumer, 'idle') >= idle_ms then
      redis.call('XGROUP', 'DELCONSUMER', inbox, 'agents', field(consumer, 'name'))
      deleted = deleted + 1
    end
  end
end
return { 'ok', ended, sweep_index(index, order, ttl_ms, now, 100), deleted }
