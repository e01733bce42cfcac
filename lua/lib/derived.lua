-- has another live session derived the name that this one derived? Two never share one
local function derived_by_another(agents, presence, sessions, agent, session, now)
  local record = load_agent(agents, agent)
  for _, each in ipairs(record and record.sessions or {}) do
    local till = each ~= session and redis.call('ZSCORE', presence, each)
    local other = till and tonumber(till) > now and redis.call('HGET', sessions, each)
    if other and cjson.decode(other).derived == 1 then return true end
  end
  return false
end

-- has a session been silent so long that its derived name has gone to another?
local function slept_out(agents, presence, sessions, known, session, now)
  if known.derived ~= 1 then return false end
  local till = redis.call('ZSCORE', presence, session)
  if till and tonumber(till) > now then return false end
  return derived_by_another(agents, presence, sessions, known.agent, session, now)
end
