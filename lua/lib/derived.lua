-- whether another live session has derived the same name; two never share a derived name
local function derived_by_another(agents, presence, sessions, agent, session, now)
  local record = load_agent(agents, agent)
  for _, each in ipairs(record and record.sessions or {}) do
    local other = each ~= session and lasts(presence, each, now) and load_json(sessions, each)
    if other and other.derived == 1 then return true end
  end
  return false
end

-- whether a session was silent so long that another one has derived its name
local function lost_derived_name(agents, presence, sessions, known, session, now)
  return known.derived == 1 and not lasts(presence, session, now)
    and derived_by_another(agents, presence, sessions, known.agent, session, now)
end
