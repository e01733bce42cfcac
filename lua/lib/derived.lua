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
