local function live_sessions(presence, record, now)
  local count = 0
  for _, session in ipairs(record and record.sessions or {}) do
    if lasts(presence, session, now) then count = count + 1 end
  end
  return count
end

-- how many sessions of an agent the others see as online: a silent one counts until expire_presence removes it, so
-- that going offline causes one event
local function online_sessions(presence, record)
  local count = 0
  for _, session in ipairs(record and record.sessions or {}) do
    if redis.call('ZSCORE', presence, session) then count = count + 1 end
  end
  return count
end
