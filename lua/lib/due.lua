-- whether a message whose time lies ahead was returned without a delay, or was leased at a time that is still to come
local function is_hidden(inbox, entry, now)
  if entry.st == 'queued' and delivery_of(inbox, entry.s) ~= '#delayed' then return true end
  return (tonumber(entry.l) or 0) > now
end

local function by_id(due)
  table.sort(due, id_before)
  return due
end

-- the stream IDs among members of `leases`; what is none leads to no message
local function without_altered(leases, due)
  local sound = {}
  for _, each in ipairs(due) do
    if is_id(each) then sound[#sound + 1] = each else redis.call('ZREM', leases, each) end
  end
  return sound
end

-- the delivered messages that can be given out again, by stream ID: of more than 1000 those due longest
local function due_messages(inbox, leases, index, events, now)
  local due = without_altered(leases, redis.call('ZRANGEBYSCORE', leases, '-inf', now, 'LIMIT', 0, 1000))
  if redis.call('ZCARD', leases) == #due then return by_id(due) end
  local newest = newest_id(events)
  if newest and (id_parts(newest)) > now + 1000 then -- the clock was stepped back since: that must hide no message
    for _, stream_id in ipairs(redis.call('ZRANGEBYSCORE', leases, '(' .. digits(now), '+inf', 'LIMIT', 0, 1000)) do
      local fields = fields_at(inbox, stream_id)
      local entry = fields and load_entry(index, (message_of(fields)))
      if entry and is_hidden(inbox, entry, now) then due[#due + 1] = stream_id end
    end
  end
  return by_id(due)
end
