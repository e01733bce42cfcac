-- cursors: agent -> 'stream ID, number' of the last broadcast it has seen
local function split_cursor(value)
  if not value or value == '' then return nil, nil end
  local stream_id, number = string.match(value, '^(%S+) (%d+)$')
  return stream_id, tonumber(number)
end

local function load_cursor(cursors, agent)
  return split_cursor(redis.call('HGET', cursors, agent))
end

-- the number of the last broadcast ever, and of the first one still alive (last + 1: none is)
local function feed_bounds(broadcasts, feed, now, ttl_ms)
  redis.call('XTRIM', broadcasts, 'MINID', digits(now - ttl_ms))
  local last = tonumber(redis.call('HGET', feed, 'last') or 0)
  local oldest = redis.call('XRANGE', broadcasts, '-', '+', 'COUNT', 1)[1]
  return last, oldest and tonumber(field(oldest[2], 'seq')) or last + 1
end
