-- the reply for a caller that takes `session` for a session of `agent` and is wrong: nil when it is right, or when the
-- caller names no session ('')
local function not_acting_as(agents, presence, sessions, session, agent, now)
  if session == '' then return nil end
  local known = load_session(agents, sessions, session)
  if not known or lost_derived_name(agents, presence, sessions, known, session, now) then return { 'unknown' } end
  if known.agent ~= agent then return { 'acts as', known.agent } end
  return nil
end
