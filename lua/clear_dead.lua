#!lua flags=allow-oom
--[[ clear_dead: drop all dead letters of an agent.
Atomic because the letters and their states must agree. Bounded: 5000 at a time.
KEYS     index   hash     {po}:index:<agent>
         dead    stream   {po}:dead:<agent>
         events  stream   {po}:events
         agents  hash     {po}:agents
ARGV     agent   the present name
         until   up to this stream ID, which an earlier part gave; '+' for the first part
RETURNS  ok, stream ID up to which there are more or '', number of letters dropped
         alias, present name
ERRORS   NONE
TIME     O(n) in the letters
]]
--@include lib/now
--@include lib/event
--@include lib/agent
--@include lib/entry
local index, dead, events, agents = unpack(KEYS)
local agent, till = ARGV[1], ARGV[2]
local target = alias_of(agents, agent)
if target then return { 'alias', target } end
local now, count = now_ms(), 0
if till == '+' then
  local newest = redis.call('XREVRANGE', dead, '+', '-', 'COUNT', 1)[1]
  till = newest and newest[1] or '0-1'
end
repeat
  local batch = redis.call('XRANGE', dead, '-', till, 'COUNT', 100)
  for _, letter in ipairs(batch) do
    local id = field(letter[2], 'id')
    local entry = load_entry(index, id)
    if entry and entry.s == letter[1] then
      entry.st, entry.e, entry.w = 'cleared', now, 'cleared'
      save_entry(index, id, entry)
    end
    redis.call('XDEL', dead, letter[1])
  end
  count = count + #batch
until #batch == 0 or count >= 5000
if count > 0 then emit(events, 'dead_clear', 'to', agent, 'count', count) end
local more = #redis.call('XRANGE', dead, '-', till, 'COUNT', 1) > 0
return { 'ok', more and till or '', count }
