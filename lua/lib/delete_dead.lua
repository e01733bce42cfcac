-- delete a dead letter and record the final state of its message, unless the id stands for a later message by now
local function delete_dead(dead, index, stream_id, id, state, now, why)
  redis.call('XDEL', dead, stream_id)
  local entry = load_entry(index, id)
  if entry and entry.s == stream_id then
    entry.st, entry.e, entry.w = state, now, why
    save_entry(index, id, entry)
  end
end
