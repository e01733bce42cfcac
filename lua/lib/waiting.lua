--@include lib/fields
--@include lib/lasts
-- the messages after the ID `after` that a read could return: their ids and up to three senders, the oldest message's
-- first, each with ? behind the name if it is not verified; examines at most `count`
local function waiting(inbox, leases, after, count, now)
  local ids, senders, known = {}, {}, {}
  for _, each in ipairs(redis.call('XRANGE', inbox, '(' .. after, '+', 'COUNT', count)) do
    if not lasts(leases, each[1], now) then
      local from = field(each[2], 'from') .. (field(each[2], 'verified') == '' and '?' or '')
      ids[#ids + 1] = field(each[2], 'id')
      if not known[from] and #senders < 3 then
        known[from], senders[#senders + 1] = true, from
      end
    end
  end
  return ids, senders
end
