#!lua flags=allow-oom
--[[ clear: empty an inbox, leased messages included.
Atomic because no reader may see half of it; acks that come later are rejected. Bounded: 5000 at a time.
KEYS     inbox   stream   {po}:inbox:<agent>
         leases  zset     {po}:leases:<agent>
         index   hash     {po}:index:<agent>
         events  stream   {po}:events
         agents  hash     {po}:agents
ARGV     agent   the present name
         until   up to this stream ID, which an earlier part gave; '+' for the first part
RETURNS  ok, stream ID up to which there are more or '', number of messages cleared
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
local agent, till = ARGV[1], ARGV[2]
local target = alias_of(agents, agent)
if target then return { 'alias', target } end
local now, count = now_ms(), 0
if till == '+' then
  local newest = redis.call('XREVRANGE', inbox, '+', '-', 'COUNT', 1)[1]
  till = newest and newest[1] or '0-1'
end
repeat
  local batch = redis.call('XRANGE', inbox, '-', till, 'COUNT', 100)
  for _, each in ipairs(batch) do
    settle(inbox, leases, index, each[1], field(each[2], 'id'), 'cleared', now, 'cleared')
  end
  count = count + #batch
until #batch == 0 or count >= 5000
if count > 0 then emit(events, 'msg_clear', 'to', agent, 'count', count) end
local more = #redis.call('XRANGE', inbox, '-', till, 'COUNT', 1) > 0
return { 'ok', more and till or '', count }
