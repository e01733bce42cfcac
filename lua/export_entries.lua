#!lua flags=no-writes
--[[ export_entries: return a page of an inbox or of dead letters, oldest first, with all that is stored of each
message.
Atomic because a message, its record and its delivery count must be of one moment.
KEYS     inbox    stream   {po}:inbox4:<agent>, or {po}:dead4:<agent>
         leases   zset     {po}:leases:<agent>
         index    hash     {po}:index:<agent>
         agents   hash     {po}:agents
ARGV     agent    the present name
         after    stream ID after which the page begins
         limit    most entries to return
         bytes    most bytes of entries; the first entry always fits
RETURNS  ok, items; an item is stream ID, flat fields, index record or '', deliveries, end of its lease or delay
         ms or ''
         alias, present name
ERRORS   NONE
TIME     O(limit)
]]
limit, bytes = tonumber(limit), tonumber(bytes)
local target = alias_of(agents, agent)
if target then return { 'alias', target } end
local items, used = {}, 0
while #items < limit do
  local batch = redis.call('XRANGE', inbox, '(' .. after, '+', 'COUNT', 16)
  if #batch == 0 then break end
  for _, each in ipairs(batch) do
    local stream_id, fields = each[1], each[2]
    local id = message_of(fields)
    used, after = used + bytes_of(fields), stream_id
    if #items == limit or (#items > 0 and used > bytes) then return { 'ok', items } end
    local _, deliveries = delivery_of(inbox, stream_id)
    items[#items + 1] = { stream_id, fields, redis.call('HGET', index, id) or '',
      deliveries, redis.call('ZSCORE', leases, stream_id) or '' }
  end
end
return { 'ok', items }
