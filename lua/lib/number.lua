-- tostring() writes 1.7e+12 for a time in milliseconds; this does not
local function digits(number)
  return string.format('%.0f', number)
end
