-- how many messages a read could return now; every delivered message has a lease, so this costs O(log n)
local function available(inbox, leases, now)
  local held = redis.call('ZCARD', leases)
  if held > 0 then held = held - redis.call('ZCOUNT', leases, '-inf', now) end
  return redis.call('XLEN', inbox) - held
end
