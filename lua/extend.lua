#!lua flags=allow-oom
--[[ extend: restart leases for the session that holds them.
Atomic because the holder must still be the same when the lease is extended.
KEYS     inbox     stream   {po}:inbox4:<agent>
         leases    zset     {po}:leases:<agent>
         index     hash     {po}:index:<agent>
         agents    hash     {po}:agents
ARGV     agent     the reader's present name
         consumer  the reading session
         ids       JSON array of message ids
         lease_ms  length of the lease, from now
RETURNS  ok, extended ids, rejected ids
         alias, present name
ERRORS   NONE
TIME     O(n) in the ids
]]
local target = alias_of(agents, agent)
if target then return { 'alias', target } end
local now = now_ms()
local extended, rejected = {}, {}
for _, id in ipairs(cjson.decode(ids)) do
  local entry, altered = load_entry(index, id)
  local held = entry and entry.st == 'leased' and delivery_of(inbox, entry.s) == consumer
  if altered or entry and not held then
    --@include lib/recovered
    entry = (altered or is_misplaced(inbox, entry)) and recovered(inbox, nil, id)
    held = entry and entry.st == 'leased' and delivery_of(inbox, entry.s) == consumer
  end
  if held then
    redis.call('ZADD', leases, now + lease_ms, entry.s)
    extended[#extended + 1] = id
  else
    rejected[#rejected + 1] = id
  end
end
return { 'ok', extended, rejected }
