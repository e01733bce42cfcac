-- the record of a message as far as its entry in a stream tells, where the one of the index was altered: the digest is
-- lost
local function rebuilt(stream_id, fields)
  local _, from, _, _, seq, t = message_of(fields)
  local function number(text) return text and #text <= 13 and string.match(text, '^%d+$') end
  return { s = stream_id, d = '', q = number(seq) or 0, st = 'queued', t = number(t) or string.match(stream_id, '^%d+'),
    f = (string.gsub(from, ' ', '_')) }
end

-- the record of the message at a place of an inbox if `entry`, read under its id, tells of no or of another place;
-- false if it is that of another message, whose id the disk has given to this one
local function record_at(stream_id, id, fields, entry)
  if id == '' then return nil end
  if not entry then return rebuilt(stream_id, fields) end
  if tostring(entry.q) ~= select(5, message_of(fields)) then return false end
  entry.s = stream_id
  return entry
end
