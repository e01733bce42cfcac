--@include lib/entry
-- forget message ids whose time is over, examining at most `count`. Queued, leased and dead messages are examined again
-- one time to live later, also those that died because they expired; the id of one that is gone is kept that long after
-- its end, for its sender to ask about; a record without an end was imported by an earlier version
local function sweep_index(index, order, ttl_ms, now, count)
  local ids = redis.call('ZRANGEBYSCORE', order, '-inf', now, 'LIMIT', 0, count)
  for _, id in ipairs(ids) do
    local entry = load_entry(index, id)
    if entry and (entry.st == 'queued' or entry.st == 'leased' or entry.st == 'dead'
      or (entry.st == 'expired' and (entry.w == 'ttl' and entry.x or (entry.e or 0) + ttl_ms > now))) then
      redis.call('ZADD', order, now + ttl_ms, id)
    else
      redis.call('HDEL', index, id)
      redis.call('ZREM', order, id)
    end
  end
  return #ids
end
