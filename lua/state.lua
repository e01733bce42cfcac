#!lua flags=no-writes
--[[ state: return what is stored about the state of one message.
Atomic because the index and the lease must be of one moment.
KEYS     agents   hash     {po}:agents
EACH     index    hash     {po}:index:<agent>
         leases   zset     {po}:leases:<agent>
ARGV     agent    the recipient's present name
         id       message id
RETURNS  ok, index record or '', lease end ms or '', now ms, 1 the recipient is a person | 0
         alias, present name
ERRORS   NONE
TIME     O(1)
]]
local agents = KEYS[1]
local now = digits(now_ms())

local function state(keys, args)
  local index, leases = unpack(KEYS, keys + 1, keys + 2)
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
  local whole, entry = pcall(entry_of, value) -- an altered record costs one message its state, not the history a page
  local lease_end = whole and redis.call('ZSCORE', leases, entry.s or '')
  local person = agent == 'human' or string.find(record, '"human":true', 1, true)
  return { 'ok', value, lease_end or '', now, person and 1 or 0 }
end

return each_call(1, 2, state)
