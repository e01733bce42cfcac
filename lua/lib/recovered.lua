local function entry_with(stream, id)
  local from = '-'
  repeat
    local batch = redis.call('XRANGE', stream, from, '+', 'COUNT', 100)
    for _, each in ipairs(batch) do
      if message_of(each[2]) == id then return each end
      from = '(' .. each[1]
    end
  until #batch < 100
  return nil
end

-- the record of a message, where that of the index was altered, by its entry in the inbox or among the dead letters, of
-- which either may be nil; nil if it is not there. O(n) in the messages: seldom needed, and once mended not again
local function recovered(inbox, dead, id)
  local found = inbox and entry_with(inbox, id)
  if found then
    local entry = rebuilt(found[1], found[2])
    local holder, deliveries = delivery_of(inbox, found[1])
    entry.n = deliveries
    if holder and string.sub(holder, 1, 1) ~= '#' then entry.st, entry.r = 'leased', holder end
    return entry
  end
  found = dead and entry_with(dead, id)
  if not found then return nil end
  local entry, why = rebuilt(found[1], found[2]), string.match(field(found[2], 'reason') or '', '^%a[%a_]*$')
  entry.st, entry.w = why == 'expired' and 'expired' or 'dead', why == 'expired' and 'ttl' or why
  entry.n, entry.x = string.match(field(found[2], 'deliveries') or '', '^%d+$') or 0, 1
  entry.e = string.match(field(found[2], 'died') or '', '^%d+$')
  return entry
end

-- whether a record tells of a place in the inbox where nothing is
local function is_misplaced(inbox, entry)
  return (entry.st == 'queued' or entry.st == 'leased') and not redis.pcall('XRANGE', inbox, entry.s, entry.s)[1]
end
