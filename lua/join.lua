#!lua flags=allow-oom
--[[ join: register a session and tell which agent it acts as.
Atomic because two sessions that start at once must not derive the same name.
KEYS     agents      hash     {po}:agents
         presence    zset     {po}:presence
         sessions    hash     {po}:sessions
         events      stream   {po}:events
ARGV     session     session id, the consumer name
         generation  grows with each reconnect of the session
         name        explicit agent name or ''
         candidates  JSON array of derived names, best first; the last is the session's own
         about       JSON object kept with the session
         online_ms   how long one sign of life lasts
RETURNS  agent, number of other live sessions of that agent, 1 derived | 0 explicit
ERRORS   STALE_SESSION  a later connection of this session has joined
TIME     O(candidates + sessions of the agent)
]]
--@include lib/now
--@include lib/event
--@include lib/agent
--@include lib/session
--@include lib/shown
--@include lib/derived
--@include lib/claude
local agents, presence, sessions, events = unpack(KEYS)
local session, generation, name = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local now, online_ms = now_ms(), tonumber(ARGV[6])

local function present(wanted)
  return alias_of(agents, wanted) or wanted
end

local known = load_session(agents, sessions, session)
if known and known.gen > generation then
  return redis.error_reply('STALE_SESSION a later connection of ' .. session .. ' has joined')
end

-- a hook of the same Claude process may have been first; its stand-in hands over name and presence
local about = cjson.decode(ARGV[5])
local met = about.process and redis.call('HGET', sessions, 'process:' .. about.process)
met = met and cjson.decode(met)
local earlier = met and met.session and met.session ~= session and redis.call('HGET', sessions, met.session)
earlier = earlier and cjson.decode(earlier)
local stood_in = earlier and string.sub(met.session, 1, 2) == 'h-'
-- and if the relay was first, no stand-in is needed
local till = earlier and not stood_in and redis.call('ZSCORE', presence, met.session)
if till and tonumber(till) > now and string.sub(session, 1, 2) == 'h-' then
  return { present(earlier.agent), 0, earlier.derived }
end
-- what a client was told at its start is older than what the hooks of its process have told since
local told = known and known.claude_session or met and met.claude
about.claude_session = told or about.claude_session
if stood_in then
  redis.call('ZREM', presence, met.session)
  redis.call('HDEL', sessions, met.session)
  local holder = present(earlier.agent)
  local left = load_agent(agents, holder)
  if left then
    left.sessions = without(left.sessions, met.session)
    save_agent(agents, holder, left)
  end
end

local agent, derived = nil, 0
if known then
  agent, derived = known.agent, known.derived
elseif name ~= '' then
  agent = present(name)
end
-- while this session was away another one may have derived its name
local moved = known and derived == 1 and derived_by_another(agents, presence, sessions, agent, session, now)
if moved then
  local left = load_agent(agents, agent)
  left.sessions = without(left.sessions, session)
  save_agent(agents, agent, left)
end
if moved or not agent then
  derived = 1
  local resumed = about.claude_session and redis.call('HGET', sessions, 'claude:' .. about.claude_session)
  local candidates = cjson.decode(ARGV[4])
  if resumed then table.insert(candidates, 1, cjson.decode(resumed).agent) end
  if earlier then table.insert(candidates, 1, earlier.agent) end
  local own = candidates[#candidates]
  for at = 2, 9 do candidates[#candidates + 1] = own .. '-' .. at end -- one that resumed this session may have its name
  for _, candidate in ipairs(candidates) do
    agent = present(candidate)
    if live_sessions(presence, load_agent(agents, agent), now) == 0 then break end
  end
end

local record = load_agent(agents, agent) or { since = now }
local before = shown_sessions(presence, record)
record.sessions = without(record.sessions, session)
local others = live_sessions(presence, record, now)
record.sessions[#record.sessions + 1] = session
record.seen = now
save_agent(agents, agent, record)

about.agent, about.gen, about.derived, about.at = agent, generation, derived, now
redis.call('HSET', sessions, session, cjson.encode(about))
if about.claude_session then
  record_claude(agents, presence, sessions, about.claude_session, agent, session, now)
end
if about.process and (met or about.claude_session or about.claude_socket) then
  met = met or {}
  met.session, met.claude, met.at = session, about.claude_session, now
  redis.call('HSET', sessions, 'process:' .. about.process, cjson.encode(met))
end
redis.call('ZADD', presence, now + online_ms, session)
if before == 0 and not (stood_in and present(earlier.agent) == agent) then
  emit(events, 'agent_online', 'agent', agent, 'session', session)
end
return { agent, others, derived }
