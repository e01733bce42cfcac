-- the number of the next message where that of the last one was altered: above those of all that can be seen
local function next_number(index, inbox)
  local last = redis.call('HLEN', index)
  for _, each in ipairs(redis.call('XREVRANGE', inbox, '+', '-', 'COUNT', 100)) do
    local number = tonumber((select(5, message_of(each[2]))) or '')
    if number and number % 1 == 0 and number < 1e13 then last = math.max(last, number) end
  end
  return last + 1
end
