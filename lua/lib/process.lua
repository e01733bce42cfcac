-- sessions: 'process:<host>:<pid>:<start>' -> JSON record of a Claude process
-- record: session, claude (written by join and bind_claude), at (ms); and what it was notified of: of (agent) and on
--         (Claude session) that this is about, greeted, mail (newest message), feed (last broadcast), found (ms until
--         which what returned was counted)
local function load_process(sessions, agents, process, agent, claude)
  local stored = redis.call('HGET', sessions, 'process:' .. process)
  local whole, record = pcall(cjson.decode, stored or '{}')
  local sound = whole and type(record) == 'table' and (record.mail == nil or is_id(record.mail))
  for _, name in ipairs({ 'at', 'feed', 'found' }) do
    sound = sound and (record[name] == nil or type(record[name]) == 'number')
  end
  if not sound then record = {} end -- then it is notified of all once more
  local before = type(record.of) == 'string' and (alias_of(agents, record.of) or record.of)
  if before ~= agent or record.on ~= claude then
    record.mail, record.feed, record.found, record.greeted = nil, nil, nil, nil
  end
  record.of, record.on = agent, claude
  return record, stored
end
