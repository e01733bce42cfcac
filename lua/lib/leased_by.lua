-- the messages a session holds, as XPENDING lists them, without those whose lease has ended
local function leased_by(inbox, leases, session, now)
  local leased, from = {}, '-'
  while redis.call('EXISTS', inbox) == 1 do
    local page = redis.pcall('XPENDING', inbox, 'agents', from, '+', 1000, session)
    if page.err or #page == 0 then return leased end -- an inbox that nobody has read has no consumer group
    for _, pending in ipairs(page) do
      if lasts(leases, pending[1], now) then leased[#leased + 1] = pending end
    end
    from = '(' .. page[#page][1]
  end
  return leased
end
