-- the consumer that holds a delivered message, and how often it was delivered; nil and 0 before its first delivery
local function delivery_of(inbox, stream_id)
  -- an inbox that nobody has read has no consumer group
  local pending = redis.pcall('XPENDING', inbox, 'agents', stream_id, stream_id, 1)
  if pending.err or not pending[1] then return nil, 0 end
  return pending[1][2], tonumber(pending[1][4])
end
