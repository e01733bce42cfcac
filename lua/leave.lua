#!lua flags=allow-oom
--[[ leave: end a session's connection and give back what it had leased.
Atomic because an old connection must not undo what a new one of the same session has.
KEYS     inbox       stream   {po}:inbox:<agent>
         leases      zset     {po}:leases:<agent>
         index       hash     {po}:index:<agent>
         agents      hash     {po}:agents
         presence    zset     {po}:presence
         sessions    hash     {po}:sessions
         events      stream   {po}:events
ARGV     agent       the session's agent
         session     session id
         generation  of the connection that ended
         stay        '1': only give back, the session stays (a new connection takes over)
RETURNS  ok, number of messages given back
         alias, the session's present agent
ERRORS   NONE
TIME     O(n) in the messages held
]]
--@include lib/now
--@include lib/event
--@include lib/agent
--@include lib/entry
--@include lib/session
--@include lib/holding
--@include lib/claude
--@include lib/shown
local inbox, leases, index, agents, presence, sessions, events = unpack(KEYS)
local agent, session, generation = ARGV[1], ARGV[2], tonumber(ARGV[3])
local known = load_session(agents, sessions, session)
if not known or known.gen ~= generation then return { 'ok', 0 } end
if known.agent ~= agent then return { 'alias', known.agent } end
local now, ids = now_ms(), {}
for _, pending in ipairs(holding(inbox, leases, session, now)) do
  local entry = redis.call('XRANGE', inbox, pending[1], pending[1])[1]
  if entry then
    local id = field(entry[2], 'id')
    redis.call('ZADD', leases, now, pending[1])
    local record = load_entry(index, id)
    if record then
      record.st = 'queued'
      save_entry(index, id, record)
    end
    ids[#ids + 1] = id
  end
end
-- dropping a consumer drops what it holds: only one with nothing pending may go
local held = redis.call('EXISTS', inbox) == 1 and redis.pcall('XPENDING', inbox, 'agents', '-', '+', 1, session)
if held and not held.err and #held == 0 then redis.call('XGROUP', 'DELCONSUMER', inbox, 'agents', session) end
if #ids > 0 then emit(events, 'msg_release', 'ids', cjson.encode(ids), 'to', agent, 'reader', session) end
if ARGV[4] == '1' then return { 'ok', #ids } end
known.left = now
save_session(sessions, session, known)
remember_claude(agents, sessions, known, now)
local record = load_agent(agents, agent)
local before = shown_sessions(presence, record)
redis.call('ZREM', presence, session)
if record then
  record.sessions, record.seen = without(record.sessions, session), now
  save_agent(agents, agent, record)
  if before > 0 and shown_sessions(presence, record) == 0 then
    emit(events, 'agent_offline', 'agent', agent, 'session', session)
  end
end
return { 'ok', #ids }
