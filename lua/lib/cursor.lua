-- cursors: agent -> '<stream ID> <number>' of the last broadcast it has seen
-- (nil: none, or one that cannot be read, as store/entries.py has it: the agent sees all broadcasts again)
local function split_cursor(value)
  if not value or value == '' then return nil, nil end
  local stream_id, number = string.match(value, '^(%d+%-%d+) (%d+)$')
  if not number or #number > 13 then return nil, nil end
  return stream_id, tonumber(number)
end

-- the cursor of an agent; none if its number is above `last`, that of the last broadcast ever sent: a disk has altered
-- it, and broadcasts still to come would be hidden. None repeats some and hides nothing; taken for the newest one it
-- would hide what the agent has not seen. Told by the number and not by the stream ID, because `last` is known here
-- without another command, and no step of the clock changes it; a backup and an export have both of one moment
local function load_cursor(cursors, agent, last)
  local stream_id, number = split_cursor(redis.call('HGET', cursors, agent))
  if number and number > last then return nil, nil end
  return stream_id, number
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
  local first = oldest and tonumber((select(5, message_of(oldest[2])))) or last and last + 1
  if not (last and first >= 1 and first <= last + 1 and last < 1e13 and last % 1 == 0 and first % 1 == 0)
    or oldest and first > last then
    --@include lib/broadcast_numbers
    return mended_bounds(broadcasts, last, oldest)
  end
  return last, first
end
