#!lua flags=allow-oom
--[[ heartbeat: keep an HTTP agent online, or take it offline at once.
Atomic because a change of presence and its event belong together.
KEYS     agents      hash     {po}:agents
         presence    zset     {po}:presence
         sessions    hash     {po}:sessions
         events      stream   {po}:events3
         departures  stream   {po}:departures
         changes     stream   {po}:changes
ARGV     agent       the present name
         online_ms   how long the agent stays online; 0: offline now
RETURNS  ok
         alias, present name
ERRORS   NONE
TIME     O(n) in the sessions of the agent
]]
local target = alias_of(agents, agent)
if target then return { 'alias', target } end
local now = now_ms()
local record = agent_from(agents, agent, now)
local before = online_sessions(presence, record)
-- its only HTTP session may still have a former name
for _, each in ipairs(record.sessions or {}) do
  if string.sub(each, 1, 5) == 'http:' then
    record.sessions = without(record.sessions, each)
    redis.call('ZREM', presence, each)
    redis.call('HDEL', sessions, each)
  end
end
local session = 'http:' .. agent
if tonumber(online_ms) > 0 then
  add_session(record, session)
  redis.call('ZADD', presence, now + online_ms, session)
  save_json(sessions, session, { agent = agent, gen = 0, at = now })
end
record.seen = now
local after = online_sessions(presence, record)
save_agent(agents, changes, agent, record)
if before == 0 and after > 0 then emit(events, 'agent_online', 'agent', agent, 'session', session) end
if before > 0 and after == 0 then go_offline(events, departures, agent, record, session) end
return { 'ok' }
