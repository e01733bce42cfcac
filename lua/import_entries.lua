#!lua
--[[ import_entries: append entries under the IDs they had to an inbox, the dead letters, broadcasts or history.
Atomic because a message and its record must be written together. Repeating adds nothing: an entry is left out when its
message id is remembered already, or, without a record, when the stream has passed its ID. Each message of an inbox
counts as returned by its reader at the time `due`, after its `deliveries`: it keeps its place, and a repeat is
labelled.
KEYS     inbox    stream   {po}:inbox4:<agent>, or another stream
         leases   zset     {po}:leases:<agent>
         index    hash     {po}:index:<agent>
         agents   hash     {po}:agents
         changes  stream   {po}:changes
ARGV     agent    the present name
         rows     JSON array: entry (stream ID), fields (flat); of a message also id, record (of the index)
RETURNS  ok, number of entries added
         alias, present name
ERRORS   NONE
TIME     O(n log n) in the rows
]]
rows = cjson.decode(rows)
local now = now_ms()
local target = alias_of(agents, agent)
if target then return { 'alias', target } end

local function restore(row, stream_id)
  row.record.s = stream_id
  save_entry(index, row.id, row.record)
  local last = tonumber(redis.call('HGET', index, '#seq') or 0) or 0
  if row.record.q > last then redis.call('HSET', index, '#seq', row.record.q) end
  if not row.deliveries then return end
  redis.pcall('XGROUP', 'CREATE', inbox, 'agents', '0') -- exists after the first
  redis.call('XGROUP', 'SETID', inbox, 'agents', stream_id)
  local delayed = row.due > (id_parts(row.entry)) and row.due > now -- as nack.lua has it
  local reader = delayed and '#delayed' or '#nobody'
  redis.call('XCLAIM', inbox, 'agents', reader, 0, stream_id, 'RETRYCOUNT', row.deliveries, 'FORCE', 'JUSTID')
  redis.call('ZADD', leases, row.due, stream_id)
end

if rows[1].record and redis.call('HEXISTS', agents, agent) == 0 then -- forgotten meanwhile
  save_agent(agents, changes, agent, agent_from(agents, agent, now))
  redis.call('PERSIST', index)
  redis.call('HDEL', index, '#leaves')
end
local added, last = 0, '0-0'
if redis.call('EXISTS', inbox) == 1 then last = field(redis.call('XINFO', 'STREAM', inbox), 'last-generated-id') end
for _, row in ipairs(rows) do
  local at = id_before(last, row.entry) and row.entry or row.record and '*'
  if at and not (row.record and redis.call('HEXISTS', index, row.id) == 1) then
    last = redis.call('XADD', inbox, at, unpack(row.fields))
    if row.record then restore(row, last) end
    added = added + 1
  end
end
return { 'ok', added }
