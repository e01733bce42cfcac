#!lua flags=allow-oom
--[[ expire_presence: take sessions offline whose last sign of life is too old, at most 100.
Atomic because several daemons do this at once, and each agent that goes offline must cause one event.
KEYS     agents      hash     {po}:agents
         presence    zset     {po}:presence
         sessions    hash     {po}:sessions
         events      stream   {po}:events3
         departures  stream   {po}:departures
         changes     stream   {po}:changes
ARGV     online_ms   the longest that a sign of life keeps a session online
RETURNS  number of sessions taken offline
ERRORS   NONE
TIME     O(n) in the sessions taken offline
]]
local now = now_ms()
-- the clock was stepped back since these signs of life: without this they would keep their sessions online for its
-- length
local longest = now + online_ms
local later = '(' .. digits(longest + 1000)
for _, session in ipairs(redis.call('ZRANGEBYSCORE', presence, later, '+inf', 'LIMIT', 0, 1000)) do
  redis.call('ZADD', presence, longest, session)
end
local silent = redis.call('ZRANGEBYSCORE', presence, '-inf', now, 'LIMIT', 0, 100)
for _, session in ipairs(silent) do
  redis.call('ZREM', presence, session)
  local known = load_session(agents, sessions, session)
  if known then
    if string.sub(session, 1, 5) == 'http:' then
      redis.call('HDEL', sessions, session)
    else
      known.left = now
      save_session(sessions, session, known)
      refresh_claude(agents, sessions, known, now)
    end
    local record = load_agent(agents, known.agent)
    if record then
      record.sessions = without(record.sessions, session)
      save_agent(agents, changes, known.agent, record)
      if online_sessions(presence, record) == 0 then
        go_offline(events, departures, known.agent, record, session)
      end
    end
  end
end
return #silent
