--@include lib/fields
-- a message is the field m of its entries: '<number> <accepted ms> <id> <from> <v, or - if not verified> <characters>
-- <JSON>', whose JSON only the daemon reads; in format 1 it was a field for each. Returns id, from, whether it is
-- verified, characters, number and accepted ms; of what a disk has altered '' for both names
local function message_of(fields)
  local packed = field(fields, 'm') or ''
  local seq, t, id, from, verified, length = string.match(packed, '^(%S+) (%S+) (%S+) (%S+) (%S) (%S+) ')
  if seq then return id, from, verified == 'v', tonumber(length) or #packed, tonumber(seq), tonumber(t) end
  local _, characters = string.gsub(field(fields, 'body') or packed, '[^\128-\191]', '')
  return field(fields, 'id') or '', field(fields, 'from') or '', (field(fields, 'verified') or '') ~= '', characters,
    tonumber(field(fields, 'seq')), tonumber(field(fields, 't'))
end
