#!lua flags=allow-oom
--[[ clear_dead: drop all dead letters of an agent.
Atomic because the letters and their states must agree.
KEYS     index   hash     {po}:index:<agent>
         dead    stream   {po}:dead:<agent>
         events  stream   {po}:events
         agents  hash     {po}:agents
ARGV     agent   the present name
RETURNS  ok, number of letters dropped
         alias, present name
ERRORS   NONE
TIME     O(n) in the letters
]]
--@include lib/now
--@include lib/event
--@include lib/agent
--@include lib/entry
local index, dead, events, agents = unpack(KEYS)
local agent = ARGV[1]
local target = alias_of(agents, agent)
if target then return { 'alias', target } end
local now, count = now_ms(), 0
repeat
  local batch = redis.call('XRANGE', dead, '-', '+', 'COUNT', 500)
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
until #batch == 0
if count > 0 then emit(events, 'dead_clear', 'to', agent, 'count', count) end
return { 'ok', count }
