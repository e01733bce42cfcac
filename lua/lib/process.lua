-- sessions: 'process:host:pid:start' -> JSON record of a Claude process
-- record: session, claude (see join), at (ms); and of whom it was told: of agent, on Claude session, greeted,
--         mail newest message, feed last broadcast, found (ms) when these were looked for
local function load_process(sessions, agents, process, agent, claude)
  local stored = redis.call('HGET', sessions, 'process:' .. process)
  local record = stored and cjson.decode(stored) or {}
  local before = record.of and (alias_of(agents, record.of) or record.of)
  if before ~= agent or record.on ~= claude then
    record.mail, record.feed, record.found, record.greeted = nil, nil, nil, nil
  end
  record.of, record.on = agent, claude
  return record, stored
end
