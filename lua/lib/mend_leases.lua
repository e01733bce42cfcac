-- let what a disk has hidden be given out: a delivered message whose lease or delay is longer than `longest_ms`, or
-- that has none, because the place that it names was altered. Returns the stream IDs
local function mend_leases(inbox, leases, now, longest_ms)
  local after = '(' .. digits(now + longest_ms)
  local hidden = redis.call('ZRANGEBYSCORE', leases, after, '+inf', 'LIMIT', 0, 1000)
  local pending = redis.pcall('XPENDING', inbox, 'agents')
  if not pending.err and pending[1] > redis.call('ZCARD', leases) then
    local from, page = '-', nil
    repeat
      page = redis.call('XPENDING', inbox, 'agents', from, '+', 1000)
      for _, each in ipairs(page) do
        if not redis.call('ZSCORE', leases, each[1]) then hidden[#hidden + 1] = each[1] end
        from = '(' .. each[1]
      end
    until #page < 1000
  end
  for _, stream_id in ipairs(hidden) do redis.call('ZADD', leases, now, stream_id) end
  return hidden
end
