-- who holds a delivered message, and how often it was delivered
local function held(inbox, stream_id)
  -- an inbox that nobody has read yet has no group
  local pending = redis.pcall('XPENDING', inbox, 'agents', stream_id, stream_id, 1)
  if pending.err or not pending[1] then return nil, 0 end
  return pending[1][2], tonumber(pending[1][4])
end
