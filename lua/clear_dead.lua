#!lua flags=allow-oom
--[[ clear_dead: delete all dead letters of an agent.
Atomic because the letters and the states of their messages must agree. Bounded: 5000 letters per call.
KEYS     index   hash     {po}:index:<agent>
         dead    stream   {po}:dead4:<agent>
         events  stream   {po}:events3
         agents  hash     {po}:agents
ARGV     agent   the present name
         till    clear up to this stream ID, which the previous call returned; '+' in the first call
RETURNS  ok, stream ID up to which more remain or '', number of letters deleted
         alias, present name
ERRORS   NONE
TIME     O(n) in the letters
]]
local now = now_ms()
local target = alias_of(agents, agent)
if target then return { 'alias', target } end
local rest, count = drain(dead, till, function(stream_id, fields)
  delete_dead(dead, index, stream_id, (message_of(fields)), 'cleared', now, 'cleared')
end)
if count > 0 then emit(events, 'dead_clear', 'to', agent, 'count', count) end
return { 'ok', rest, count }
