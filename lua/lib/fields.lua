-- a value from a flat list of names and values, as stream entries and XINFO have it
local function field(fields, name)
  for at = 1, #fields, 2 do
    if fields[at] == name then return fields[at + 1] end
  end
  return nil
end

-- the length of a message's body in characters: the bytes that do not continue a UTF-8 sequence
local function body_length(fields)
  local _, length = string.gsub(field(fields, 'body') or '', '[^\128-\191]', '')
  return length
end
