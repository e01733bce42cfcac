#!lua flags=allow-oom
--[[ clear: empty an inbox, leased messages included; later acknowledgements of those are rejected.
Atomic because a message must leave the inbox and reach its final state in one step. Bounded: 5000 messages per call.
KEYS     inbox   stream   {po}:inbox4:<agent>
         leases  zset     {po}:leases:<agent>
         index   hash     {po}:index:<agent>
         events  stream   {po}:events3
         agents  hash     {po}:agents
ARGV     agent   the present name
         till    clear up to this stream ID, which the previous call returned; '+' in the first call
RETURNS  ok, stream ID up to which more remain or '', number of messages cleared
         alias, present name
ERRORS   NONE
TIME     O(n) in the inbox
]]
local now = now_ms()
local target = alias_of(agents, agent)
if target then return { 'alias', target } end
local rest, count = drain(inbox, till, function(stream_id, fields)
  finish(inbox, leases, index, stream_id, (message_of(fields)), 'cleared', now, 'cleared')
end)
if count > 0 then emit(events, 'msg_clear', 'to', agent, 'count', count) end
return { 'ok', rest, count }
