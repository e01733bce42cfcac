-- the bytes of an entry
local function bytes_of(fields)
  local bytes = 0
  for at = 1, #fields do bytes = bytes + #fields[at] end
  return bytes
end

-- a value from a flat list of names and values, as stream entries and XINFO have it
local function field(fields, name)
  for at = 1, #fields, 2 do
    if fields[at] == name then return fields[at + 1] end
  end
  return nil
end
