#!lua flags=allow-oom
--[[ join: register a session and return the agent it acts as.
Atomic because two sessions that start at once must not derive the same name.
KEYS     agents      hash     {po}:agents
         presence    zset     {po}:presence
         sessions    hash     {po}:sessions
         events      stream   {po}:events3
         changes     stream   {po}:changes
ARGV     session     session id, the consumer name
         generation  grows with each reconnect of the session
         name        explicit agent name or ''
         candidates  JSON array of derived names, best first; the last one depends on the session alone
         about       JSON object stored with the session
         online_ms   how long the session stays online
RETURNS  agent, number of other live sessions of that agent, 1 derived | 0 explicit
ERRORS   STALE_SESSION  a later connection of this session has joined
         NAME_TAKEN     the explicit name is that of a person
TIME     O(n) in the candidates and the sessions of the agent
]]
local now = now_ms()
generation, about = tonumber(generation), cjson.decode(about)

local function present(wanted)
  return alias_of(agents, wanted) or wanted
end

local known = load_session(agents, sessions, session)
if known and known.gen > generation then
  return redis.error_reply('STALE_SESSION a later connection of ' .. session .. ' has joined')
end

-- a hook of the same Claude process may have joined first, by a stand-in session ('h-...'); it hands over name and
-- presence. If the relay has joined first, no stand-in is needed
local process = about.process and load_json(sessions, 'process:' .. about.process)
local earlier = process and process.session and process.session ~= session and load_json(sessions, process.session)
local stand_in = earlier and string.sub(process.session, 1, 2) == 'h-'
if earlier and not stand_in and string.sub(session, 1, 2) == 'h-' and lasts(presence, process.session, now) then
  return { present(earlier.agent), 0, earlier.derived }
end
-- the Claude session that a hook reported is newer than the one the client was started with
local reported = known and known.claude_session or process and process.claude
about.claude_session = reported or about.claude_session
if stand_in then
  redis.call('ZREM', presence, process.session)
  redis.call('HDEL', sessions, process.session)
  local holder = present(earlier.agent)
  local left = load_agent(agents, holder)
  if left then
    left.sessions = without(left.sessions, process.session)
    save_agent(agents, changes, holder, left)
  end
end

local agent, derived = nil, 0
if known then
  agent, derived = known.agent, known.derived
elseif name ~= '' then
  agent = present(name)
end
if name ~= '' and is_person(load_agent(agents, agent), agent) then
  return redis.error_reply('NAME_TAKEN ' .. agent .. ' is a person; give the agent another name')
end
-- while this session was away, another one may have derived its name
local lost = known and derived == 1 and derived_by_another(agents, presence, sessions, agent, session, now)
if lost then
  local left = load_agent(agents, agent)
  left.sessions = without(left.sessions, session)
  save_agent(agents, changes, agent, left)
end
if lost or not agent then
  derived = 1
  local resumed = about.claude_session and load_json(sessions, 'claude:' .. about.claude_session)
  candidates = cjson.decode(candidates)
  if resumed then table.insert(candidates, 1, resumed.agent) end
  if earlier then table.insert(candidates, 1, earlier.agent) end
  local own = candidates[#candidates]
  for at = 2, 9 do candidates[#candidates + 1] = own .. '-' .. at end -- a session that resumed this one may have `own`
  for _, candidate in ipairs(candidates) do
    agent = present(candidate)
    if live_sessions(presence, load_agent(agents, agent), now) == 0 then break end
  end
end

local record = agent_from(agents, agent, now)
local before = online_sessions(presence, record)
record.sessions = without(record.sessions, session)
local others = live_sessions(presence, record, now)
add_session(record, session)
record.seen = now
save_agent(agents, changes, agent, record)

about.agent, about.gen, about.derived, about.at = agent, generation, derived, now
save_json(sessions, session, about)
if about.claude_session then
  record_claude(agents, presence, sessions, about.claude_session, agent, session, now)
end
if about.process and (process or about.claude_session or about.claude_socket) then
  process = process or {}
  process.session, process.claude, process.at = session, about.claude_session, now
  save_json(sessions, 'process:' .. about.process, process)
end
redis.call('ZADD', presence, now + online_ms, session)
if before == 0 and not (stand_in and present(earlier.agent) == agent) then
  emit(events, 'agent_online', 'agent', agent, 'session', session)
end
return { agent, others, derived }
