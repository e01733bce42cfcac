#!lua flags=allow-oom
--[[ leave: end a session's connection and release what it had leased.
Atomic because an old connection must not undo what a new one of the same session has done.
KEYS     inbox       stream   {po}:inbox4:<agent>
         leases      zset     {po}:leases:<agent>
         index       hash     {po}:index:<agent>
         agents      hash     {po}:agents
         presence    zset     {po}:presence
         sessions    hash     {po}:sessions
         events      stream   {po}:events3
         departures  stream   {po}:departures
         changes     stream   {po}:changes
ARGV     agent       the session's agent
         session     session id
         generation  of the connection that ended
         stay        '1': only release, because the session goes on under a new connection
RETURNS  ok
         alias, the session's present agent
ERRORS   NONE
TIME     O(n) in the messages held
]]
local known = load_session(agents, sessions, session)
if not known or known.gen ~= tonumber(generation) then return { 'ok' } end
if known.agent ~= agent then return { 'alias', known.agent } end
local now, ids = now_ms(), {}
for _, pending in ipairs(leased_by(inbox, leases, session, now)) do
  local fields = fields_at(inbox, pending[1])
  if fields then
    local id = message_of(fields)
    redis.call('ZADD', leases, now, pending[1])
    local entry = load_entry(index, id)
    if entry then
      entry.st = 'queued'
      save_entry(index, id, entry)
    end
    ids[#ids + 1] = id
  end
end
-- XGROUP DELCONSUMER drops what the consumer holds, so only one with nothing pending may be deleted
local held = redis.call('EXISTS', inbox) == 1 and redis.pcall('XPENDING', inbox, 'agents', '-', '+', 1, session)
if held and not held.err and #held == 0 then redis.call('XGROUP', 'DELCONSUMER', inbox, 'agents', session) end
if #ids > 0 then emit(events, 'msg_release', 'ids', cjson.encode(ids), 'to', agent, 'reader', session) end
if stay == '1' then return { 'ok' } end
known.left = now
save_session(sessions, session, known)
refresh_claude(agents, sessions, known, now)
local record = load_agent(agents, agent)
local before = online_sessions(presence, record)
redis.call('ZREM', presence, session)
if record then
  record.sessions, record.seen = without(record.sessions, session), now
  save_agent(agents, changes, agent, record)
  if before > 0 and online_sessions(presence, record) == 0 then
    go_offline(events, departures, agent, record, session)
  end
end
return { 'ok' }
