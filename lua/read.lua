#!lua flags=allow-oom
--[[ read: lease messages to a reading session.
Atomic because what is handed out, its lease and its delivery count must agree, and a message that died or
expired must leave in the same step. Order: the session's own open messages if it resumes, then those whose
lease ended or was given back (of more than 1000 the longest due), then new ones; each by stream ID.
KEYS     inbox           stream   {po}:inbox:<agent>
         leases          zset     {po}:leases:<agent>
         index           hash     {po}:index:<agent>
         dead            stream   {po}:dead:<agent>
         events          stream   {po}:events
         agents          hash     {po}:agents
         notices         hash     {po}:notices
ARGV     agent           the reader's present name
         consumer        the reading session
         limit           most messages to lease
         budget          most characters of bodies, 0 for no limit; one message always fits
         lease_ms        length of the lease
         max_deliveries  deliveries before a message is dead
         ttl_ms          time to live
         max_dead        most dead letters kept
         resume          '1': begin with the session's own open messages
         ack_now         '1': acknowledge in the same step
RETURNS  ok, items, more, dead, number of items that the session held before; an item is stream ID,
         delivery, redelivered, flat fields; a dead one is id, from
         alias, present name
ERRORS   NONE
TIME     O(limit + due)
]]
--@include lib/now
--@include lib/number
--@include lib/stream_id
--@include lib/event
--@include lib/agent
--@include lib/entry
--@include lib/settle
--@include lib/bury
--@include lib/held
--@include lib/holding
--@include lib/available
local keys = { inbox = KEYS[1], leases = KEYS[2], index = KEYS[3], dead = KEYS[4], events = KEYS[5],
  agents = KEYS[6], notices = KEYS[7] }
local inbox, leases, index, events = keys.inbox, keys.leases, keys.index, keys.events
local agent, consumer = ARGV[1], ARGV[2]
local limit, budget, lease_ms = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local max_deliveries, ttl_ms, max_dead = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])
local resume, ack_now = ARGV[9] == '1', ARGV[10] == '1'

local target = alias_of(keys.agents, agent)
if target then return { 'alias', target } end
local now = now_ms()
local record = load_agent(keys.agents, agent) or { since = now, seen = 0 }
if not record.reads or now - record.seen > 1000 then
  record.reads, record.seen = true, now
  save_agent(keys.agents, agent, record)
end
if redis.call('EXISTS', inbox) == 0 then return { 'ok', {}, 0, {}, 0 } end

local items, dead, ids, used, full = {}, {}, {}, 0, false

local function fits(fields)
  if #items >= limit then full = true return false end
  if budget > 0 then
    local _, size = string.gsub(field(fields, 'body'), '[^\128-\191]', '')
    if #items > 0 and used + size > budget then full = true return false end
    used = used + size
  end
  return true
end

local function give(stream_id, fields, deliveries, redelivered)
  local id = field(fields, 'id')
  local entry = load_entry(index, id)
  if entry then
    entry.st, entry.r, entry.n, entry.l = 'leased', consumer, deliveries, now
    save_entry(index, id, entry)
    if entry.a then redelivered = 1 end -- before a requeue, which begins the count anew
  end
  redis.call('ZADD', leases, now + lease_ms, stream_id)
  items[#items + 1] = { stream_id, deliveries, redelivered, fields }
  ids[#ids + 1] = id
end

local function fetch(stream_id)
  local entry = redis.call('XRANGE', inbox, stream_id, stream_id)[1]
  return entry and entry[2]
end

if resume then
  for _, pending in ipairs(holding(inbox, leases, consumer, now)) do
    local fields = fetch(pending[1])
    if fields then
      if not fits(fields) then break end
      give(pending[1], fields, tonumber(pending[4]), 1)
    end
  end
end

local resumed = #items
local due = redis.call('ZRANGEBYSCORE', leases, '-inf', now, 'LIMIT', 0, 1000)
table.sort(due, id_before)
for _, stream_id in ipairs(due) do
  if full then break end
  local fields = fetch(stream_id)
  local _, deliveries = held(inbox, stream_id)
  if not fields then
    redis.call('XACK', inbox, 'agents', stream_id)
    redis.call('ZREM', leases, stream_id)
  elseif outlived(stream_id, ttl_ms, now) then
    local id = field(fields, 'id')
    settle(inbox, leases, index, stream_id, id, 'expired', now, 'ttl')
    emit(events, 'msg_expired', 'id', id, 'to', agent, 'reason', 'ttl')
  elseif deliveries >= max_deliveries then
    dead[#dead + 1] = bury(keys, agent, stream_id, fields, deliveries, now, max_dead)
  elseif fits(fields) then
    -- XCLAIM sets the count itself: a count raised by reading history is lost with the server
    redis.call('XCLAIM', inbox, 'agents', consumer, 0, stream_id, 'RETRYCOUNT', deliveries + 1, 'JUSTID')
    -- nobody saw what was undone: its next delivery is the first
    give(stream_id, fields, deliveries + 1, deliveries > 0 and 1 or 0)
  end
end

local function last_delivered()
  local groups = redis.call('XINFO', 'GROUPS', inbox)
  for _, group in ipairs(groups) do
    if field(group, 'name') == 'agents' then return field(group, 'last-delivered-id') end
  end
  -- made on the first read, from the start: also after the server lost its data
  redis.call('XGROUP', 'CREATE', inbox, 'agents', '0')
  return '0-0'
end

-- look first, so that only what fits is leased
local fresh, looked = {}, 0
local from = not full and #items < limit and last_delivered()
while from and looked < 1000 do
  local batch = redis.call('XRANGE', inbox, '(' .. from, '+', 'COUNT', limit - #items - #fresh + 1)
  if #batch == 0 then break end
  for _, each in ipairs(batch) do
    from, looked = each[1], looked + 1
    if outlived(each[1], ttl_ms, now) then
      local id = field(each[2], 'id')
      settle(inbox, leases, index, each[1], id, 'expired', now, 'ttl')
      emit(events, 'msg_expired', 'id', id, 'to', agent, 'reason', 'ttl')
    else
      local taken = #items + #fresh
      local _, size = 0, 0
      if budget > 0 then _, size = string.gsub(field(each[2], 'body'), '[^\128-\191]', '') end
      if taken >= limit or (budget > 0 and taken > 0 and used + size > budget) then
        from = nil
        break
      end
      used = used + size
      fresh[#fresh + 1] = each[1]
    end
  end
end
if #fresh > 0 then
  local got = redis.call('XREADGROUP', 'GROUP', 'agents', consumer, 'COUNT', #fresh, 'STREAMS', inbox, '>')
  for _, each in ipairs(got[1][2]) do give(each[1], each[2], 1, 0) end
end

if #ids > 0 then
  emit(events, 'msg_read', 'ids', cjson.encode(ids), 'to', agent, 'reader', consumer)
  if ack_now then
    for at, item in ipairs(items) do
      settle(inbox, leases, index, item[1], ids[at], 'acked', now)
    end
    emit(events, 'msg_ack', 'ids', cjson.encode(ids), 'to', agent, 'reader', consumer)
  end
end
local more = available(inbox, leases, now) > 0 and 1 or 0
return { 'ok', items, more, dead, resumed }
