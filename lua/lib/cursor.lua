-- cursors: agent -> '<stream ID> <number>' of the last broadcast it has seen
-- (nil: none, or one that cannot be read, as store/entries.py has it: the agent sees all broadcasts again)
local function split_cursor(value)
  if not value or value == '' then return nil, nil end
  local stream_id, number = string.match(value, '^(%d+%-%d+) (%d+)$')
  if not number or #number > 13 then return nil, nil end
  return stream_id, tonumber(number)
end

local function load_cursor(cursors, agent)
  return split_cursor(redis.call('HGET', cursors, agent))
end

local function oldest_broadcast(broadcasts)
  return redis.call('XRANGE', broadcasts, '-', '+', 'COUNT', 1)[1]
end

-- trim by age; return the number of the last broadcast ever sent, and of the oldest one stored (last + 1 if none is)
local function broadcast_bounds(broadcasts, feed, now, ttl_ms)
  local last, oldest = tonumber(redis.call('HGET', feed, 'last') or 0), oldest_broadcast(broadcasts)
  if oldest and tonumber(string.match(oldest[1], '^%d+')) < now - ttl_ms then
    redis.call('XTRIM', broadcasts, 'MINID', digits(now - ttl_ms))
    oldest = oldest_broadcast(broadcasts)
  end
  return last, oldest and tonumber((select(5, message_of(oldest[2])))) or last + 1
end
