-- how many sessions of an agent are known as online: one that fell silent counts until its silence is noticed,
-- so that each change is told once
local function shown_sessions(presence, record)
  local count = 0
  for _, session in ipairs(record and record.sessions or {}) do
    if redis.call('ZSCORE', presence, session) then count = count + 1 end
  end
  return count
end
