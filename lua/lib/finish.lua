-- remove a message from the inbox and record its final state; `entry` is its record if the caller has read it. Without
-- `leases` it was not delivered yet
local function finish(inbox, leases, index, stream_id, id, state, now, why, entry)
  if leases then
    redis.call('XACK', inbox, 'agents', stream_id)
    redis.call('ZREM', leases, stream_id)
  end
  redis.call('XDEL', inbox, stream_id)
  if not entry then
    entry = load_entry(index, id)
    if entry and entry.s ~= stream_id then entry = nil end -- a disk has made this the id of another message
  end
  if entry then
    entry.st, entry.e, entry.w = state, now, why
    save_entry(index, id, entry)
  end
  return entry
end
