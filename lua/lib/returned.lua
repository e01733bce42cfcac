-- add to the ids and senders of new messages those that a process was notified of before and that have returned to the
-- inbox since, by a nack, a release or the end of their lease; examines at most 100
local function add_returned(inbox, leases, process, now, ids, senders)
  if not process.mail or not process.found then return end
  -- a notification in the future is from before a step back of the clock, which tells nothing of what returned since
  local since = process.found > now and '-inf' or '(' .. digits(process.found)
  local due = redis.call('ZRANGEBYSCORE', leases, since, now, 'LIMIT', 0, 100)
  for _, stream_id in ipairs(due) do
    local fields = is_id(stream_id) and not id_before(process.mail, stream_id) and fields_at(inbox, stream_id)
    if fields then
      local id, from = message_of(fields)
      local known = false
      ids[#ids + 1] = id
      for _, each in ipairs(senders) do known = known or each == from end
      if not known and #senders < 3 then senders[#senders + 1] = from end
    end
  end
end
