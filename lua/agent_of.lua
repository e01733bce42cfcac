#!lua flags=allow-oom
--[[ agent_of: return the agent that a session acts as now.
Atomic because a silent session loses a derived name at the moment another one derives it.
KEYS     agents    hash     {po}:agents
         presence  zset     {po}:presence
         sessions  hash     {po}:sessions
ARGV     session   session id
RETURNS  agent
         nothing: the session is unknown or has to join again
ERRORS   NONE
TIME     O(n) in the sessions of the agent
]]
local known = load_session(agents, sessions, session)
if not known or lost_derived_name(agents, presence, sessions, known, session, now_ms()) then return {} end
return { known.agent }
