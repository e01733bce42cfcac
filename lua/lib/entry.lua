-- index: message id -> JSON record
-- record: s stream ID, d digest, q seq, st state, t accepted ms, f from, n deliveries, r reader,
--         l leased ms, e settled ms, w why, h how notified, ht notified ms, x deaths before a requeue or the last one,
--         a it was given to somebody before it was requeued
local function load_entry(index, id)
  local value = redis.call('HGET', index, id)
  return value and cjson.decode(value) or nil
end

local function save_entry(index, id, entry)
  redis.call('HSET', index, id, cjson.encode(entry))
end

local function field(fields, name)
  for at = 1, #fields, 2 do
    if fields[at] == name then return fields[at + 1] end
  end
  return nil
end
