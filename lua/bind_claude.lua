#!lua
--[[ bind_claude: a Claude process tells, by a hook, which Claude session the connected session now serves.
A session that was not named becomes the agent recorded for that Claude session, unless that one is online.
Atomic because two sessions must not resume one agent.
KEYS     agents    hash     {po}:agents
         presence  zset     {po}:presence
         sessions  hash     {po}:sessions
         events    stream   {po}:events
ARGV     session   session id, the consumer name
         process   the Claude process: host:pid:start
         claude    its Claude session id
RETURNS  agent, the agent left for it or '', 1 if that one was made for this session alone | 0
         nothing: the session is unknown
ERRORS   NONE
TIME     O(sessions of the agents)
]]
--@include lib/now
--@include lib/event
--@include lib/agent
--@include lib/session
--@include lib/claude
local agents, presence, sessions, events = unpack(KEYS)
local session, process, claude, now = ARGV[1], 'process:' .. ARGV[2], ARGV[3], now_ms()
local known = load_session(agents, sessions, session)
if not known then return {} end

local left, made = '', 0
local recorded = known.derived == 1 and redis.call('HGET', sessions, 'claude:' .. claude)
local wanted = recorded and cjson.decode(recorded).agent
wanted = wanted and (alias_of(agents, wanted) or wanted)
local there = wanted and wanted ~= known.agent and load_agent(agents, wanted)
if there and live_sessions(presence, there, now) == 0 then
  local here = load_agent(agents, known.agent)
  left = known.agent
  if here then
    made = (here.since or 0) >= known.at and 1 or 0
    here.sessions, here.seen = without(here.sessions, session), now
    local others = live_sessions(presence, here, now)
    save_agent(agents, left, here)
    if others == 0 then emit(events, 'agent_offline', 'agent', left, 'session', session) end
  end
  there.sessions = without(there.sessions, session)
  there.sessions[#there.sessions + 1] = session
  there.seen = now
  save_agent(agents, wanted, there)
  known.agent = wanted
  emit(events, 'agent_online', 'agent', wanted, 'session', session)
end

known.claude_session = claude
save_session(sessions, session, known)
record_claude(agents, presence, sessions, claude, known.agent, session, now)
local record = redis.call('HGET', sessions, process)
record = record and cjson.decode(record) or {}
record.session, record.claude, record.at = session, claude, now
redis.call('HSET', sessions, process, cjson.encode(record))
return { known.agent, left, made }
