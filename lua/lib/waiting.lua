-- messages behind `after` that a read could return, how many and from whom, the oldest first; at most `most` looked at
local function waiting(inbox, leases, after, most, now)
  local ids, senders, known = {}, {}, {}
  for _, each in ipairs(redis.call('XRANGE', inbox, '(' .. after, '+', 'COUNT', most)) do
    local till = redis.call('ZSCORE', leases, each[1])
    if not till or tonumber(till) <= now then
      local from = field(each[2], 'from')
      ids[#ids + 1] = field(each[2], 'id')
      if not known[from] and #senders < 3 then
        known[from], senders[#senders + 1] = true, from
      end
    end
  end
  return ids, senders
end
