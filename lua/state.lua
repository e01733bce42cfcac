#!lua flags=no-writes
--[[ state: return what is stored about the state of one message.
Atomic because the index and the lease must be of one moment.
KEYS     index    hash     {po}:index:<agent>
         leases   zset     {po}:leases:<agent>
         agents   hash     {po}:agents
ARGV     agent    the recipient's present name
         id       message id
RETURNS  ok, index record or '', lease end ms or '', now ms, 1 the recipient is a person | 0
         alias, present name
ERRORS   NONE
TIME     O(1)
]]
--@include lib/agent
--@include lib/entry
--@include lib/now
--@include lib/number
--@include lib/people
local index, leases, agents = unpack(KEYS)
local target = alias_of(agents, ARGV[1])
if target then return { 'alias', target } end
local value = redis.call('HGET', index, ARGV[2])
if not value then return { 'ok', '', '', '0', 0 } end
local whole, entry = pcall(entry_of, value) -- an altered record costs one message its state, not the history a page
local lease_end = whole and redis.call('ZSCORE', leases, entry.s or '')
local person = is_person(load_agent(agents, ARGV[1]), ARGV[1])
return { 'ok', value, lease_end or '', digits(now_ms()), person and 1 or 0 }
