#!lua flags=allow-oom
--[[ forget: remove an agent that is offline and has no mail.
Atomic because mail that arrives at the same time must not be removed with it.
KEYS     inbox     stream   {po}:inbox4:<agent>
         leases    zset     {po}:leases:<agent>
         index     hash     {po}:index:<agent>
         dead      stream   {po}:dead4:<agent>
         open      hash     {po}:open:<agent>
         agents    hash     {po}:agents
         cursors   hash     {po}:cursors
         groups    hash     {po}:groups
         presence  zset     {po}:presence
         events    stream   {po}:events3
         changes   stream   {po}:changes
ARGV     agent     the present name
         ttl_ms    how long its message ids are kept
RETURNS  ok, 1 removed | 0 unknown: of a name under which somebody has only read, that is removed
         alias, present name
ERRORS   AGENT_BUSY  it is online or has mail
TIME     O(n) in the aliases and in the members of its groups
]]
local target = alias_of(agents, agent)
if target then return { 'alias', target } end
local record = load_reader(agents, agent)
if not record then return { 'ok', 0 } end
if live_sessions(presence, record, now_ms()) > 0 then
  return redis.error_reply('AGENT_BUSY ' .. agent .. ' is online; it can be forgotten when its session has ended')
end
local mail = {}
local function count(command, key, what) -- and the way to end that
  local found = redis.call(command, key)
  if found > 0 then mail[#mail + 1] = found .. ' ' .. what end
end
count('XLEN', inbox, 'in the inbox (`postino clear ' .. agent .. '` deletes that)')
count('XLEN', dead, 'dead (`postino dead ' .. agent .. ' --clear` deletes that)')
count('HLEN', open, 'opened and not done (`postino done --opened` ends that)')
if #mail > 0 then return redis.error_reply('AGENT_BUSY ' .. agent .. ' has mail: ' .. table.concat(mail, ', ')) end
redis.call('UNLINK', inbox, leases, dead, open)
-- the ids are kept a while longer, because a sender may still retry one
if redis.call('PEXPIRE', index, ttl_ms) == 1 then redis.call('HSET', index, '#leaves', 1) end -- see send.lua
drop_names(agents, changes, { agent })
drop_names(agents, changes, record.aliases)
redis.call('HDEL', cursors, agent)
replace_member(groups, record, agent, nil)
if record.since == 0 then return { 'ok', 0 } end
emit(events, 'agent_forget', 'agent', agent)
return { 'ok', 1 }
