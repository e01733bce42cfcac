-- the digest that what a stream holds was accepted with; '' if that is not known, or the id stands for something later
local function digest_of(index, stream_id, fields)
  local entry = load_entry(index, (message_of(fields)))
  return entry and entry.s == stream_id and entry.d or ''
end
