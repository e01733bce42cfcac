#!lua flags=allow-oom
--[[ forget_session: drop what is kept of a session that ended long ago.
Atomic because a session that comes back between the look at its record and this must keep the new one.
KEYS     sessions  hash  {po}:sessions
ARGV     session   its field: session id, claude:<id> or process:<key>
         record    the record that was found too old
RETURNS  1 dropped | 0 changed since
ERRORS   NONE
TIME     O(1)
]]
local sessions = unpack(KEYS)
local session, record = unpack(ARGV)
if redis.call('HGET', sessions, session) ~= record then return 0 end
return redis.call('HDEL', sessions, session)
