#!lua flags=allow-oom
--[[ agent_of: tell which agent a session acts as now.
Atomic because a session that fell silent loses a derived name in the moment another one takes it.
KEYS     agents    hash     {po}:agents
         presence  zset     {po}:presence
         sessions  hash     {po}:sessions
ARGV     session   session id
RETURNS  agent
         nothing: the session is unknown, or has to join anew
ERRORS   NONE
TIME     O(sessions of the agent)
]]
--@include lib/now
--@include lib/agent
--@include lib/session
--@include lib/derived
local agents, presence, sessions = unpack(KEYS)
local session = ARGV[1]
local known = load_session(agents, sessions, session)
if not known or slept_out(agents, presence, sessions, known, session, now_ms()) then return {} end
return { known.agent }
