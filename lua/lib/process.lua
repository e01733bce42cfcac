-- sessions: 'process:<host>:<pid>:<start>' -> JSON record of a Claude process
-- record: session, claude (written by join and bind_claude), at (ms); and what it was notified of: of (agent) and on
--         (Claude session) that this is about, greeted, mail (newest message), feed (last broadcast), found (ms until
--         which what returned was counted)
local function load_process(sessions, agents, process, agent, claude)
  local stored = redis.call('HGET', sessions, 'process:' .. process)
  local whole, record = pcall(cjson.decode, stored or '{}')
  if not whole or type(record) ~= 'table' then record = {} end -- then it is notified of all once more
  local before = record.of and (alias_of(agents, record.of) or record.of)
  if before ~= agent or record.on ~= claude then
    record.mail, record.feed, record.found, record.greeted = nil, nil, nil, nil
  end
  record.of, record.on = agent, claude
  return record, stored
end
