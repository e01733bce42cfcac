-- index: message id -> record of the message, up to 15 words with one space between them, '' for what it lacks; what is
-- missing at its end it lacks, too. Before format 4 all had 15; JSON in format 1. With its times it is longer than the
-- 64 bytes up to which a hash of some hundred ids would be a list that each look-up goes through
-- numbers are text here, as they are stored: to turn one into a number and back takes as long as a look-up
-- record: s stream ID, d digest, q seq, st state, t accepted ms, f from, n deliveries, r reader, l leased ms,
--         e ended ms, w why, h how notified, ht notified ms, x deaths so far, a delivered before a requeue
-- nil for what a disk has altered so that it is none; so it is with each function that reads a record
local function entry_of(value)
  if string.sub(value, 1, 1) == '{' then
    --@include lib/json_entry
    return json_entry(value)
  end
  local s, d, q, st, t, f, n, r, l, e, w, h, ht, x, a, rest = string.match(value,
    '^(%d+%-%d+) ([^ ]*) (%d+) (%a+) (%d+) ([^ ]*)'
    .. ' ?([^ ]*) ?([^ ]*) ?([^ ]*) ?([^ ]*) ?([^ ]*) ?([^ ]*) ?([^ ]*) ?([^ ]*) ?([^ ]*)()')
  if not s or rest <= #value or #q > 13 or #t > 13 then return nil end
  local is_state = st == 'queued' or st == 'leased' or st == 'acked' or st == 'dead' or st == 'expired'
    or st == 'cleared'
  if not is_state then return nil end
  return { s = s, d = d, q = q, st = st, t = t, f = f, n = n, r = r ~= '' and r or nil, l = l, e = e,
    w = w ~= '' and w or nil, h = h ~= '' and h or nil, ht = ht, x = x ~= '' and x or nil, a = a == '1' or nil }
end

-- the record of an id, and whether there is one that was altered
local function load_entry(index, id)
  local value = redis.call('HGET', index, id)
  if not value then return nil, false end
  local entry = entry_of(value)
  return entry, not entry
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

local function save_entry(index, id, entry)
  redis.call('HSET', index, id, words(entry))
end
