-- a message is the field m of its entries, in the history the value: '<number> <accepted ms> <id> <from> <flags>
-- <characters> <rest>'. Flags are v, or - if it is not verified, and a letter for how it was sent; the rest is the
-- body, and characters is - if they are as many as its bytes. Where it has a thread or more that letter is missing,
-- and the rest is JSON, which only the daemon reads; before format 4 all were so, and in format 1 there was a field for
-- each member. Returns id, from, whether it is verified, characters, and as text number and accepted ms; of what a disk
-- has altered '' for both names
local function message_of(fields)
  local packed = field(fields, 'm') or ''
  local seq, t, id, from, verified, length, rest = string.match(packed, '^(%S+) (%S+) (%S+) (%S+) (%S)%S? (%S+) ()')
  if seq then return id, from, verified == 'v', tonumber(length) or #packed - rest + 1, seq, t end
  local _, characters = string.gsub(field(fields, 'body') or packed, '[^\128-\191]', '')
  return field(fields, 'id') or '', field(fields, 'from') or '', (field(fields, 'verified') or '') ~= '', characters,
    field(fields, 'seq'), field(fields, 't')
end
