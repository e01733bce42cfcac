#!lua flags=no-writes
--[[ state: return what is stored about the state of one message.
Atomic because the index and the lease must be of one moment.
KEYS     agents   hash     {po}:agents
EACH     index    hash     {po}:index:<agent>
         leases   zset     {po}:leases:<agent>
         inbox    stream   {po}:inbox4:<agent>
         dead     stream   {po}:dead4:<agent>
ARGV     agent    the recipient's present name
         id       message id
RETURNS  ok, index record or '', lease end ms or '', now ms, 1 the recipient is a person | 0
         alias, present name
ERRORS   NONE
TIME     O(1); of an altered record O(n) in the messages
]]
local agents = KEYS[1]
local now = digits(now_ms())

local function state(keys, args)
  local index, leases, inbox, dead = unpack(KEYS, keys + 1, keys + 4)
  local agent, id = unpack(ARGV, args + 1, args + 2)
  local record = redis.call('HGET', agents, agent)
  if not record or string.sub(record, 1, 1) == '@' then
    --@include lib/agent
    local target = alias_of(agents, agent)
    if target then return { 'alias', target } end
    record = ''
  end
  local value = redis.call('HGET', index, id)
  if not value then return { 'ok', '', '', '0', 0 } end
  local entry = entry_of(value)
  -- mostly both are of one ms
  if not entry or string.match(entry.s, '^%d+') ~= tostring(entry.t) then
    --@include lib/recovered
    if not entry or is_misplaced(inbox, entry) then -- then the message tells what it can
      entry = recovered(inbox, dead, id)
      if not entry then return { 'ok', '', '', '0', 0 } end
      value = words(entry)
    end
  end
  local lease_end = redis.call('ZSCORE', leases, entry.s)
  local person = agent == 'human' or string.find(record, '"human":true', 1, true)
  return { 'ok', value, lease_end or '', now, person and 1 or 0 }
end

return each_call(1, 2, state)
