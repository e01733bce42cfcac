-- sessions: 'claude:<Claude session id>' -> JSON record of the agent that a resume of the Claude session becomes
-- record: agent, at (ms)
local function recorded_agent(agents, sessions, claude)
  local record = load_json(sessions, 'claude:' .. claude)
  return record and type(record.agent) == 'string' and (alias_of(agents, record.agent) or record.agent)
end

-- record the agent of a Claude session, unless another live process on that Claude session has one already
local function record_claude(agents, presence, sessions, claude, agent, session, now)
  local before = recorded_agent(agents, sessions, claude)
  local record = before and before ~= agent and load_agent(agents, before)
  for _, each in ipairs(record and record.sessions or {}) do
    local other = each ~= session and lasts(presence, each, now) and load_json(sessions, each)
    if other and other.claude_session == claude then return end
  end
  save_json(sessions, 'claude:' .. claude, { agent = agent, at = now })
end

-- let the record last one time to live from the end of the session, however long the session was
local function refresh_claude(agents, sessions, known, now)
  if not known.claude_session then return end
  local before = recorded_agent(agents, sessions, known.claude_session)
  if before and before ~= known.agent then return end -- another session may have resumed it since
  save_json(sessions, 'claude:' .. known.claude_session, { agent = known.agent, at = now })
end
