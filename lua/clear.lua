#!lua flags=allow-oom
--[[ clear: empty an inbox, leased messages included.
Atomic because no reader may see half of it; acks that come later are rejected.
KEYS     inbox   stream   {po}:inbox:<agent>
         leases  zset     {po}:leases:<agent>
         index   hash     {po}:index:<agent>
         events  stream   {po}:events
         agents  hash     {po}:agents
ARGV     agent   the present name
RETURNS  ok, number of messages cleared
         alias, present name
ERRORS   NONE
TIME     O(n) in the inbox
]]
--@include lib/now
--@include lib/event
--@include lib/agent
--@include lib/entry
--@include lib/settle
local inbox, leases, index, events, agents = unpack(KEYS)
local agent = ARGV[1]
local target = alias_of(agents, agent)
if target then return { 'alias', target } end
local now, count = now_ms(), 0
repeat
  local batch = redis.call('XRANGE', inbox, '-', '+', 'COUNT', 500)
  for _, each in ipairs(batch) do
    settle(inbox, leases, index, each[1], field(each[2], 'id'), 'cleared', now, 'cleared')
  end
  count = count + #batch
until #batch == 0
if count > 0 then emit(events, 'msg_clear', 'to', agent, 'count', count) end
return { 'ok', count }
