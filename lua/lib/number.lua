-- tostring() would write 1.7e+12 for a time in milliseconds
local function digits(number)
  return string.format('%.0f', number)
end
