-- where the next part of a clearing begins: `till` if a stream still has entries up to that ID, else ''
local function remainder(stream, till)
  return #redis.call('XRANGE', stream, '-', till, 'COUNT', 1) > 0 and till or ''
end

-- remove the entries of a stream up to the ID `till` ('+': the newest one now) by `remove(stream_id, fields)`, at most
-- 5000 in one call; returns the ID to continue with, or '', and how many were removed
local function drain(stream, till, remove)
  local count = 0
  if till == '+' then till = newest_id(stream) or '0-1' end
  repeat
    local batch = redis.call('XRANGE', stream, '-', till, 'COUNT', 100)
    for _, each in ipairs(batch) do remove(each[1], each[2]) end
    count = count + #batch
  until #batch == 0 or count >= 5000
  return remainder(stream, till), count
end
