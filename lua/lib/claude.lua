-- sessions: 'claude:<id>' -> JSON agent, at (ms): as whom a Claude session is resumed

-- a second process on the same Claude session does not take that from the first while the first lives
local function record_claude(agents, presence, sessions, claude, agent, session, now)
  local key = 'claude:' .. claude
  local recorded = redis.call('HGET', sessions, key)
  local before = recorded and cjson.decode(recorded).agent
  before = before and (alias_of(agents, before) or before)
  local record = before and before ~= agent and load_agent(agents, before)
  for _, each in ipairs(record and record.sessions or {}) do
    local till = each ~= session and redis.call('ZSCORE', presence, each)
    local other = till and tonumber(till) > now and redis.call('HGET', sessions, each)
    if other and cjson.decode(other).claude_session == claude then return end
  end
  redis.call('HSET', sessions, key, cjson.encode({ agent = agent, at = now }))
end

-- keep the name of a Claude session for its resume: one time to live from its end, however long it lived
local function remember_claude(agents, sessions, known, now)
  if not known.claude_session then return end
  local key = 'claude:' .. known.claude_session
  local recorded = redis.call('HGET', sessions, key)
  local before = recorded and cjson.decode(recorded).agent
  before = before and (alias_of(agents, before) or before)
  if before and before ~= known.agent then return end -- another session may have resumed it since
  redis.call('HSET', sessions, key, cjson.encode({ agent = known.agent, at = now }))
end
