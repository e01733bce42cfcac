local function id_parts(stream_id)
  local ms, seq = string.match(stream_id, '^(%d+)-(%d+)$')
  return tonumber(ms), tonumber(seq)
end

-- whether a text is a stream ID: a disk may have altered it, and commands refuse what is none
local function is_id(text)
  local ms, seq = string.match(type(text) == 'string' and text or '', '^(%d+)%-(%d+)$')
  return ms and #ms <= 18 and #seq <= 18
end

local function id_before(left, right)
  local left_ms, left_seq = id_parts(left)
  local right_ms, right_seq = id_parts(right)
  if left_ms ~= right_ms then return left_ms < right_ms end
  return left_seq < right_seq
end

-- the time to live counts from the stream ID, so that a requeue begins it again
local function is_expired(stream_id, ttl_ms, now)
  return (id_parts(stream_id)) + ttl_ms <= now
end

local function fields_at(stream, stream_id)
  local found = redis.pcall('XRANGE', stream, stream_id, stream_id)[1] -- refuses an altered ID
  return found and found[2]
end

local function newest_id(stream)
  local newest = redis.call('XREVRANGE', stream, '+', '-', 'COUNT', 1)[1]
  return newest and newest[1]
end
