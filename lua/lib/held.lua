-- who holds a delivered message, and how often it was delivered
local function held(inbox, stream_id)
  local pending = redis.call('XPENDING', inbox, 'agents', stream_id, stream_id, 1)[1]
  if not pending then return nil, 0 end
  return pending[2], tonumber(pending[4])
end
