-- how many messages a read could return now; every delivered message has a lease, so this costs O(log n)
local function available(inbox, leases, now)
  return redis.call('XLEN', inbox) - redis.call('ZCARD', leases) + redis.call('ZCOUNT', leases, '-inf', now)
end
