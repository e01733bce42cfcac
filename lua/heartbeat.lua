#!lua
--[[ heartbeat: keep an HTTP agent online, or take it offline at once.
Atomic because the change of presence and its event belong together.
KEYS     agents     hash     {po}:agents
         presence   zset     {po}:presence
         sessions   hash     {po}:sessions
         events     stream   {po}:events
ARGV     agent      the present name
         online_ms  how long the sign lasts; 0: offline now
RETURNS  ok, 1 the agent is online | 0
         alias, present name
ERRORS   NONE
TIME     O(sessions of the agent)
]]
--@include lib/now
--@include lib/event
--@include lib/agent
local agents, presence, sessions, events = unpack(KEYS)
local agent, online_ms = ARGV[1], tonumber(ARGV[2])
local target = alias_of(agents, agent)
if target then return { 'alias', target } end
local now = now_ms()
local session = 'http:' .. agent
local record = load_agent(agents, agent) or { since = now }
local was_live = live_sessions(presence, record, now)
record.sessions, record.seen = without(record.sessions, session), now
if online_ms > 0 then
  record.sessions[#record.sessions + 1] = session
  redis.call('ZADD', presence, now + online_ms, session)
  redis.call('HSET', sessions, session, cjson.encode({ agent = agent, gen = 0, at = now }))
else
  redis.call('ZREM', presence, session)
  redis.call('HDEL', sessions, session)
end
local live = live_sessions(presence, record, now)
save_agent(agents, agent, record)
if was_live == 0 and live > 0 then emit(events, 'agent_online', 'agent', agent, 'session', session) end
if was_live > 0 and live == 0 then emit(events, 'agent_offline', 'agent', agent, 'session', session) end
return { 'ok', live > 0 and 1 or 0 }
