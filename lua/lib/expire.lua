--@include lib/event
--@include lib/fields
--@include lib/finish
--@include lib/lasts
--@include lib/number
local function end_expired(inbox, leases, index, events, agent, stream_id, fields, now)
  local id = field(fields, 'id')
  finish(inbox, leases, index, stream_id, id, 'expired', now, 'ttl')
  emit(events, 'msg_expired', 'id', id, 'to', agent, 'reason', 'ttl')
end

-- end the messages whose time to live is over and that are not leased; examines at most 1000, returns how many it ended
local function expire(inbox, leases, index, events, agent, ttl_ms, now)
  local ended = 0
  for _, each in ipairs(redis.call('XRANGE', inbox, '-', digits(now - ttl_ms), 'COUNT', 1000)) do
    if not lasts(leases, each[1], now) then
      end_expired(inbox, leases, index, events, agent, each[1], each[2], now)
      ended = ended + 1
    end
  end
  return ended
end
