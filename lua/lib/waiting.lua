-- the messages after the ID `after` that a read could return: their ids and up to three senders, the oldest message's
-- first, each with ? behind the name if it is not verified; examines at most `count`
local function waiting(inbox, leases, after, count, now)
  local ids, senders, known = {}, {}, {}
  for _, each in ipairs(redis.call('XRANGE', inbox, '(' .. after, '+', 'COUNT', count)) do
    if not lasts(leases, each[1], now) then
      local id, from, verified = message_of(each[2])
      from, ids[#ids + 1] = from .. (verified and '' or '?'), id
      if not known[from] and #senders < 3 then
        known[from], senders[#senders + 1] = true, from
      end
    end
  end
  return ids, senders
end
