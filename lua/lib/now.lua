-- the time in ms of Valkey's clock: a number, and the same as text
local function now_ms()
  local time = redis.call('TIME')
  local text = time[1] .. string.sub('00000' .. time[2], -6, -4)
  return tonumber(text), text
end
