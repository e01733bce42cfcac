#!lua flags=allow-oom
--[[ keepalive: keep a connected session online and extend its leases, those alone that it was shown.
Atomic because a lease that the session has just given up must not be extended.
KEYS     inbox       stream   {po}:inbox4:<agent>
         leases      zset     {po}:leases:<agent>
         index       hash     {po}:index:<agent>
         agents      hash     {po}:agents
         presence    zset     {po}:presence
         sessions    hash     {po}:sessions
         events      stream   {po}:events3
         changes     stream   {po}:changes
ARGV     agent       the session's agent
         session     session id
         generation  of the connection
         online_ms   how long the session stays online
         lease_ms    length of a lease
         shown       JSON object, message id -> delivery count: the deliveries that the session was shown
RETURNS  ok
         alias, the session's present agent
         gone: the session is unknown, has a later connection, or has to join again
ERRORS   NONE
TIME     O(n) in the deliveries shown
]]
local known = load_session(agents, sessions, session)
if not known or known.gen ~= tonumber(generation) then return { 'gone' } end
if known.agent ~= agent then return { 'alias', known.agent } end
local now = now_ms()
local record = agent_from(agents, agent, now)
local before = online_sessions(presence, record)
if lost_derived_name(agents, presence, sessions, known, session, now) then
  redis.call('ZREM', presence, session)
  redis.call('HDEL', sessions, session)
  record.sessions = without(record.sessions, session)
  save_agent(agents, changes, agent, record)
  return { 'gone' }
end
redis.call('ZADD', presence, now + online_ms, session)
add_session(record, session)
record.seen = now
save_agent(agents, changes, agent, record)
if known.left or known.moved then -- it was silent and has come back: housekeeping must not forget it
  known.left = nil
  save_session(sessions, session, known)
end
if before == 0 then emit(events, 'agent_online', 'agent', agent, 'session', session) end
for stream_id, deliveries in pairs(shown_counts(index, shown)) do
  local holder, present = delivery_of(inbox, stream_id)
  if holder == session and present == deliveries and lasts(leases, stream_id, now) then
    redis.call('ZADD', leases, now + lease_ms, stream_id)
  end
end
return { 'ok' }
