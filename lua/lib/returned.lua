-- add to what waits: what was told of once and has come back since, given back or not acknowledged in time
local function returned(inbox, leases, record, now, ids, senders)
  if not record.mail or not record.found then return end
  local back = redis.call('ZRANGEBYSCORE', leases, '(' .. digits(record.found), now, 'LIMIT', 0, 100)
  for _, stream_id in ipairs(back) do
    local entry = not id_before(record.mail, stream_id) and redis.call('XRANGE', inbox, stream_id, stream_id)[1]
    if entry then
      ids[#ids + 1] = field(entry[2], 'id')
      local from, known = field(entry[2], 'from'), false
      for _, each in ipairs(senders) do known = known or each == from end
      if not known and #senders < 3 then senders[#senders + 1] = from end
    end
  end
end
