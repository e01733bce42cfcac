#!lua flags=allow-oom
--[[ expire_presence: take the sessions offline whose last sign of life is too old, at most 100.
Atomic because several daemons look, and one event per agent is right.
KEYS     agents    hash     {po}:agents
         presence  zset     {po}:presence
         sessions  hash     {po}:sessions
         events    stream   {po}:events
ARGV     NONE
RETURNS  number of sessions taken offline
ERRORS   NONE
TIME     O(sessions expired)
]]
--@include lib/now
--@include lib/event
--@include lib/agent
--@include lib/session
--@include lib/claude
--@include lib/shown
local agents, presence, sessions, events = unpack(KEYS)
local now = now_ms()
local gone = redis.call('ZRANGEBYSCORE', presence, '-inf', now, 'LIMIT', 0, 100)
for _, session in ipairs(gone) do
  redis.call('ZREM', presence, session)
  local known = load_session(agents, sessions, session)
  if known then
    if string.sub(session, 1, 5) == 'http:' then
      redis.call('HDEL', sessions, session)
    else
      known.left = now
      save_session(sessions, session, known)
      remember_claude(agents, sessions, known, now)
    end
    local record = load_agent(agents, known.agent)
    if record then
      record.sessions = without(record.sessions, session)
      save_agent(agents, known.agent, record)
      if shown_sessions(presence, record) == 0 then
        emit(events, 'agent_offline', 'agent', known.agent, 'session', session)
      end
    end
  end
end
return #gone
