--@include lib/json
-- index: message id -> JSON record
-- record: s stream ID, d digest, q seq, st state, t accepted ms, f from, n deliveries, r reader, l leased ms,
--         e ended ms, w why, h how notified, ht notified ms, x deaths so far, a delivered before a requeue
local load_entry, save_entry = load_json, save_json
