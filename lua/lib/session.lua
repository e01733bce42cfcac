-- sessions: session id -> JSON record
-- record: agent, gen (generation), derived (1: its agent's name was derived), at (joined, ms), left (ms its connection
--         ended or its silence was noticed), and what its hello contained
local function load_session(agents, sessions, session)
  local known = load_json(sessions, session)
  if not known or type(known.agent) ~= 'string' then return nil end -- an altered one has to join again
  -- a rename does not change the record of a silent session, so its agent may be an alias now
  local present = alias_of(agents, known.agent)
  if present then known.agent, known.derived, known.moved = present, 0, true end
  return known
end

local function save_session(sessions, session, known)
  known.moved = nil
  redis.call('HSET', sessions, session, cjson.encode(known))
end
