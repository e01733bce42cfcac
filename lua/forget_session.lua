#!lua flags=allow-oom
--[[ forget_session: delete the record of a session that ended long ago.
Atomic because the record of a session that has come back since it was read must stay.
KEYS     sessions  hash  {po}:sessions
ARGV     session   its field: session id, claude:<id> or process:<key>
         record    the record that was read and found too old
RETURNS  1 deleted | 0 changed since
ERRORS   NONE
TIME     O(1)
]]
if redis.call('HGET', sessions, session) ~= record then return 0 end
return redis.call('HDEL', sessions, session)
