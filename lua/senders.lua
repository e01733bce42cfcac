#!lua flags=no-writes
--[[ senders: return up to three senders of messages that a read could return now, the oldest message's first.
Atomic because the inbox and the leases must be of one moment.
KEYS     inbox   stream   {po}:inbox4:<agent>
         leases  zset     {po}:leases:<agent>
         agents  hash     {po}:agents
ARGV     agent   the present name
RETURNS  ok, names, each with ? behind it if it is not verified
         alias, present name
ERRORS   NONE
TIME     O(1): at most 50 messages are examined
]]
local target = alias_of(agents, agent)
if target then return { 'alias', target } end
return { 'ok', (select(2, waiting(inbox, leases, '0-0', 50, now_ms()))) }
