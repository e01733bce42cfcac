#!lua flags=allow-oom
--[[ note_client: record which client a session belongs to, as its handshake named it.
Atomic because a rename may change the session's record meanwhile.
KEYS     sessions  hash     {po}:sessions
ARGV     session   session id
         client    name of the client
RETURNS  1 noted | 0 the session is unknown
ERRORS   NONE
TIME     O(1)
]]
local known = load_json(sessions, session)
if not known then return 0 end
known.client = client
save_json(sessions, session, known)
return 1
