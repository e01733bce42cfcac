-- a record of the index in format 1; nil for what a disk has altered so that it is none
local function json_entry(value)
  local whole, entry = pcall(cjson.decode, value)
  if not whole or type(entry) ~= 'table' or type(entry.st) ~= 'string' then return nil end
  if type(entry.s) ~= 'string' or not string.find(entry.s, '^%d+%-%d+$') then return nil end
  if type(entry.q) ~= 'number' or type(entry.t) ~= 'number' then return nil end
  for name, each in pairs(entry) do -- a disk may have put spaces into it
    if type(each) == 'string' then
      entry[name] = (string.gsub(each, ' ', '_'))
    elseif type(each) ~= 'number' and each ~= true then
      entry[name] = nil
    end
  end
  return entry
end
