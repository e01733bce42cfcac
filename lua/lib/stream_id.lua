local function id_parts(stream_id)
  local ms, seq = string.match(stream_id, '^(%d+)-(%d+)$')
  return tonumber(ms), tonumber(seq)
end

local function id_before(left, right)
  local left_ms, left_seq = id_parts(left)
  local right_ms, right_seq = id_parts(right)
  if left_ms ~= right_ms then return left_ms < right_ms end
  return left_seq < right_seq
end

-- a message's time to live counts from its stream ID, so that a requeued one lives anew
local function outlived(stream_id, ttl_ms, now)
  return (id_parts(stream_id)) + ttl_ms <= now
end
