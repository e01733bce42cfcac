#!lua flags=allow-oom
--[[ bind_claude: record the Claude session that a connected session now serves, as a hook of its process reported it.
A session with a derived name becomes the agent recorded for that Claude session, unless that agent is online.
Atomic because two sessions must not resume one agent.
KEYS     agents    hash     {po}:agents
         presence  zset     {po}:presence
         sessions  hash     {po}:sessions
         events    stream   {po}:events3
         changes   stream   {po}:changes
ARGV     session   session id, the consumer name
         process   the Claude process: host:pid:start
         claude    its Claude session id
RETURNS  agent, the agent it was before if that is another one, or '', 1 if that one was created for this session | 0
         nothing: the session is unknown
ERRORS   NONE
TIME     O(n) in the sessions of the agents
]]
local now = now_ms()
local known = load_session(agents, sessions, session)
if not known then return {} end

local left, made = '', 0
local resumed = known.derived == 1 and recorded_agent(agents, sessions, claude)
local resumed_record = resumed and resumed ~= known.agent and load_agent(agents, resumed)
if resumed_record and live_sessions(presence, resumed_record, now) == 0 then
  left = known.agent
  local left_record = load_agent(agents, left)
  if left_record then
    made = (left_record.since or 0) >= known.at and 1 or 0
    left_record.sessions, left_record.seen = without(left_record.sessions, session), now
    local others = live_sessions(presence, left_record, now)
    save_agent(agents, changes, left, left_record)
    if others == 0 then emit(events, 'agent_offline', 'agent', left, 'session', session) end
  end
  add_session(resumed_record, session)
  resumed_record.seen = now
  save_agent(agents, changes, resumed, resumed_record)
  known.agent = resumed
  emit(events, 'agent_online', 'agent', resumed, 'session', session)
end

known.claude_session = claude
save_session(sessions, session, known)
record_claude(agents, presence, sessions, claude, known.agent, session, now)
local record = load_json(sessions, 'process:' .. process) or {}
record.session, record.claude, record.at = session, claude, now
save_json(sessions, 'process:' .. process, record)
return { known.agent, left, made }
