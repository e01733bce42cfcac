#!lua flags=allow-oom
--[[ retain_ids: copy the message ids of an agent that is about to be removed to one of its aliases.
Atomic because only the ids of an agent without sessions and mail may get a time to live. Repeating changes nothing.
KEYS     inbox     stream   {po}:inbox4:<agent>
         dead      stream   {po}:dead4:<agent>
         index     hash     {po}:index:<agent>
         index_to  hash     {po}:index:<alias>
         agents    hash     {po}:agents
         presence  zset     {po}:presence
ARGV     agent     the present name
         alias     the alias
         ttl_ms    how long the ids are kept
RETURNS  1 copied | 0 there are none, or the agent cannot be removed now
ERRORS   NONE
TIME     O(n) in the ids
]]
local record = load_agent(agents, agent)
if not record or alias_of(agents, alias) ~= agent then return 0 end
if live_sessions(presence, record, now_ms()) > 0 then return 0 end
if redis.call('XLEN', inbox) + redis.call('XLEN', dead) > 0 then return 0 end
if redis.call('COPY', index, index_to, 'REPLACE') == 0 then return 0 end
redis.call('HSET', index_to, '#leaves', 1) -- see send.lua
redis.call('PEXPIRE', index_to, ttl_ms)
return 1
