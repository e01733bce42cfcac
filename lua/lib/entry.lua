-- index: message id -> record of the message, up to 15 words with one space between them, '' for what it lacks; what is
-- missing at its end it lacks, too. Before format 4 all had 15; JSON in format 1. With its times it is longer than the
-- 64 bytes up to which a hash of some hundred ids would be a list that each look-up goes through
-- numbers are text here, as they are stored: to turn one into a number and back takes as long as a look-up
-- record: s stream ID, d digest, q seq, st state, t accepted ms, f from, n deliveries, r reader, l leased ms,
--         e ended ms, w why, h how notified, ht notified ms, x deaths so far, a delivered before a requeue
local function entry_of(value)
  if string.sub(value, 1, 1) == '{' then
    local entry = cjson.decode(value)
    for name, each in pairs(entry) do -- a disk may have put spaces into it
      if type(each) == 'string' then entry[name] = (string.gsub(each, ' ', '_')) end
    end
    return entry
  end
  local s, d, q, st, t, f, n, r, l, e, w, h, ht, x, a, rest = string.match(value,
    '^([^ ]*) ([^ ]*) ([^ ]*) ([^ ]*) ([^ ]*) ([^ ]*)'
    .. ' ?([^ ]*) ?([^ ]*) ?([^ ]*) ?([^ ]*) ?([^ ]*) ?([^ ]*) ?([^ ]*) ?([^ ]*) ?([^ ]*)()')
  if not s or rest <= #value then error('a record of the index is damaged') end
  return { s = s, d = d, q = q, st = st, t = t, f = f, n = n, r = r ~= '' and r or nil, l = l, e = e,
    w = w ~= '' and w or nil, h = h ~= '' and h or nil, ht = ht, x = x ~= '' and x or nil, a = a == '1' or nil }
end

local function load_entry(index, id)
  local value = redis.call('HGET', index, id)
  return value and entry_of(value) or nil
end

-- a time is exact as text up to 14 digits
local function words(entry)
  local all = { entry.s, entry.d or '', entry.q or 0, entry.st, entry.t or 0, entry.f or '',
    entry.n ~= 0 and entry.n or '', entry.r or '', entry.l or '', entry.e or '', entry.w or '', entry.h or '',
    entry.ht or '', entry.x or '', entry.a and '1' or '' }
  local count = 15
  while count > 6 and all[count] == '' do count = count - 1 end
  return table.concat(all, ' ', 1, count)
end

-- the record of something that has just been accepted
local function new_entry(stream_id, digest, seq, state, time, from)
  return stream_id .. ' ' .. digest .. ' ' .. seq .. ' ' .. state .. ' ' .. time .. ' ' .. from
end

local function save_entry(index, id, entry)
  redis.call('HSET', index, id, words(entry))
end

-- the digest that what a stream holds was accepted with; '' if that is not known, or the id stands for something later
local function digest_of(index, stream_id, fields)
  local readable, entry = pcall(load_entry, index, (message_of(fields)))
  return readable and entry and entry.s == stream_id and entry.d or ''
end
