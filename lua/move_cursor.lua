#!lua flags=allow-oom
--[[ move_cursor: move an agent's broadcast cursor forward, never back.
Atomic because two sessions of one agent may move it at once.
KEYS     cursors  hash     {po}:cursors
         agents   hash     {po}:agents
         events   stream   {po}:events3
         feed     hash     {po}:feed
         changes  stream   {po}:changes
ARGV     agent    the present name
         cursor   '<stream ID> <number>'
RETURNS  ok
         alias, present name
ERRORS   NONE
TIME     O(1)
]]
local target = alias_of(agents, agent)
if target then return { 'alias', target } end
-- an altered one refuses nothing
local last = tonumber(redis.call('HGET', feed, 'last') or 0) or math.huge
local _, seen = load_cursor(cursors, agent, last)
local _, wanted = split_cursor(cursor)
-- a store that was emptied numbers from 1 again: a cursor from before is invalid
if not wanted or wanted > last or seen and wanted <= seen then return { 'ok' } end
local record = load_reader(agents, agent) or { since = 0, seen = 0 }
if not record.reads then -- it has read, over HTTP
  record.reads = true
  save_agent(agents, changes, agent, record)
end
save_cursor(cursors, changes, agent, cursor)
emit(events, 'broadcast_read', 'reader', agent, 'seq', wanted)
return { 'ok' }
