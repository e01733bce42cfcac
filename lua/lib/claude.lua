-- keep the name of a Claude session for its resume: one time to live from its end, however long it lived
local function remember_claude(sessions, known, now)
  if not known.claude_session then return end
  local key = 'claude:' .. known.claude_session
  local recorded = redis.call('HGET', sessions, key)
  -- another session may have resumed it since
  if recorded and cjson.decode(recorded).agent ~= known.agent then return end
  redis.call('HSET', sessions, key, cjson.encode({ agent = known.agent, at = now }))
end
