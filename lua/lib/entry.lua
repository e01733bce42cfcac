--@include lib/fields
--@include lib/json
-- index: message id -> JSON record
-- record: s stream ID, d digest, q seq, st state, t accepted ms, f from, n deliveries, r reader, l leased ms,
--         e ended ms, w why, h how notified, ht notified ms, x deaths so far, a delivered before a requeue
local load_entry, save_entry = load_json, save_json

-- the digest that what a stream holds was accepted with; '' if that is not known, or the id stands for something later
local function digest_of(index, stream_id, fields)
  local readable, entry = pcall(load_entry, index, field(fields, 'id') or '')
  return readable and entry and entry.s == stream_id and entry.d or ''
end
