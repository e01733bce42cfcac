-- forget ids whose last trace is over; live ones are looked at again one time to live later, and an expired one
-- is told of for as long after its end, or its sender could never ask
local function sweep_index(index, order, ttl_ms, now, most)
  local ids = redis.call('ZRANGEBYSCORE', order, '-inf', now, 'LIMIT', 0, most)
  for _, id in ipairs(ids) do
    local entry = load_entry(index, id)
    if entry and (entry.st == 'queued' or entry.st == 'leased' or entry.st == 'dead'
      or (entry.st == 'expired' and entry.e + ttl_ms > now)) then
      redis.call('ZADD', order, now + ttl_ms, id)
    else
      redis.call('HDEL', index, id)
      redis.call('ZREM', order, id)
    end
  end
  return #ids
end
