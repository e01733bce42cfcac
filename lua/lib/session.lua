-- sessions: session id -> JSON record
-- record: agent, gen(eration), derived, at (ms), left (ms its silence was noticed or its connection ended), and what its
--         hello told
-- a rename while it was silent has not changed its record: what was its agent is an alias now
local function load_session(agents, sessions, session)
  local stored = redis.call('HGET', sessions, session)
  if not stored then return nil end
  local known = cjson.decode(stored)
  local present = alias_of(agents, known.agent)
  if present then known.agent, known.derived, known.moved = present, 0, true end
  return known
end

local function save_session(sessions, session, known)
  known.moved = nil
  redis.call('HSET', sessions, session, cjson.encode(known))
end
