-- end the messages whose time to live is over, except leased ones; at most 1000 looked at
local function expire(inbox, leases, index, events, agent, ttl_ms, now)
  local cutoff = digits(now - ttl_ms)
  local ended = 0
  local entries = redis.call('XRANGE', inbox, '-', cutoff, 'COUNT', 1000)
  for _, each in ipairs(entries) do
    local till = redis.call('ZSCORE', leases, each[1])
    if not till or tonumber(till) <= now then
      local id = field(each[2], 'id')
      settle(inbox, leases, index, each[1], id, 'expired', now, 'ttl')
      emit(events, 'msg_expired', 'id', id, 'to', agent, 'reason', 'ttl')
      ended = ended + 1
    end
  end
  return ended
end
