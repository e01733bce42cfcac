-- what a session holds now, as XPENDING tells it: lapsed leases still stand under its name and are left out
local function holding(inbox, leases, session, now)
  local held, from = {}, '-'
  while redis.call('EXISTS', inbox) == 1 do
    local page = redis.pcall('XPENDING', inbox, 'agents', from, '+', 1000, session)
    if page.err or #page == 0 then return held end -- an inbox that nobody has read yet has no group
    for _, pending in ipairs(page) do
      local till = redis.call('ZSCORE', leases, pending[1])
      if till and tonumber(till) > now then held[#held + 1] = pending end
    end
    from = '(' .. page[#page][1]
  end
  return held
end
