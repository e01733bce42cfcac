#!lua flags=allow-oom
--[[ read_broadcasts: return the broadcasts after an agent's cursor.
Atomic because what was missed, what is returned and the new cursor must agree.
KEYS     broadcasts  stream   {po}:broadcasts4
         feed        hash     {po}:feed
         cursors     hash     {po}:cursors
         agents      hash     {po}:agents
         events      stream   {po}:events3
         presence    zset     {po}:presence
         sessions    hash     {po}:sessions
         ids         hash     {po}:index:all
         changes     stream   {po}:changes
ARGV     agent       the present name
         after       cursor of the session, or ''; the later of it and the agent's counts
         limit       most broadcasts to return
         budget      most characters of bodies, 0 for no limit; the first broadcast always fits
         move        '1': move the agent's cursor; 'lease': the reader will, and is told until then what it missed
         ttl_ms      time to live
         session     the session that must act as the agent, or ''
RETURNS  ok, items, missed, new cursor, 1 more | 0; an item is stream ID, 1 given before | 0, flat
         fields, content digest or ''
         alias, present name
         acts as, its agent, or unknown: the session does not act as it should, see lib/acting.lua
ERRORS   NONE
TIME     O(limit)
]]
limit, budget, ttl_ms = tonumber(limit), tonumber(budget), tonumber(ttl_ms)
local target = alias_of(agents, agent)
if target then return { 'alias', target } end
local now = now_ms()
local wrong = not_acting_as(agents, presence, sessions, session, agent, now)
if wrong then return wrong end
local last, first = broadcast_bounds(broadcasts, feed, now, ttl_ms)
local place, seen = load_cursor(cursors, agent, last)
local own_place, own_seen = split_cursor(after)
-- a session's cursor beyond the last broadcast is from before the store was emptied
if own_seen and own_seen > last then own_place, own_seen = nil, nil end
local stored_place, stored_seen, is_own = place, seen, own_seen and own_seen > (seen or -1)
if is_own then place, seen = own_place, own_seen end
local found = redis.pcall('XRANGE', broadcasts, '(' .. (place or '0-0'), '+', 'COUNT', limit + 1)
local expected = seen and seen >= first and seen + 1 or first -- no number is left out
local one, two = found[1] and tonumber(string.match(found[1][2][2], '^%d+')) or not found[1] and last + 1, nil
if expected == first and found[2] then two = tonumber(string.match(found[2][2][2], '^%d+')) or 0 end
if one ~= expected or two and two ~= expected + 1 or found.err then
  --@include lib/broadcast_numbers
  local function try(stream_id, number)
    found = redis.pcall('XRANGE', broadcasts, '(' .. stream_id, '+', 'COUNT', limit + 1)
    seen = sound_number(broadcasts, first, last, stream_id, number, found)
    place = seen and stream_id
  end
  place, seen = nil, nil
  if is_own then try(own_place, own_seen) end
  if not place and stored_seen then
    try(stored_place, stored_seen)
    -- corrected, because what the agent says it has seen is compared with it
    if place and seen ~= stored_seen then
      save_cursor(cursors, changes, agent, place .. ' ' .. digits(seen))
    elseif not place then
      redis.call('HDEL', cursors, agent)
      note_changes(changes, { agent })
    end
  end
  if not place and own_seen and not is_own then try(own_place, own_seen) end
  if not place then found = redis.call('XRANGE', broadcasts, '-', '+', 'COUNT', limit + 1) end
  if found[2] and number_at(found[1], last) == first and number_at(found[2], last) ~= first + 1 then
    first = math.max(1, last - redis.call('XLEN', broadcasts) + 1) -- that of the oldest was altered
  end
end

-- trimmed broadcasts are missed, cleared ones and those given before are not; a new agent has missed none
local record = load_reader(agents, agent) or { since = 0, seen = 0 }
local given = record.given and record.given <= last and record.given or 0
local missed, known = 0, move ~= 'lease' and given > (seen or 0) and given or seen
if known and known < first - 1 then
  --@include lib/cleared
  missed = first - 1 - known
  for _, range in ipairs(cleared_ranges(feed)) do
    missed = missed - math.max(0, math.min(range[2], first - 1) - math.max(range[1], known + 1) + 1)
  end
end
seen = math.max(seen or 0, first - 1)
place = place or '0-0'

local items, length, more = {}, 0, 0
for at, each in ipairs(found) do
  local _, _, _, body, seq = message_of(each[2])
  if #items >= limit or (budget > 0 and #items > 0 and length + body > budget) then
    more = 1
    break
  end
  length = length + body
  seq = tonumber(seq)
  -- a disk may have altered it: only the next one can tell that numbers were left out, by a hand
  if seq ~= seen + 1 then
    --@include lib/broadcast_numbers
    local is_said = seq and seq > seen and number_at(found[at + 1], last) == seq + 1
    if not is_said then seq = math.min(seen + 1, last) end
  end
  place, seen = each[1], seq
  items[#items + 1] = { place, seen <= given and 1 or 0, each[2], digest_of(ids, place, each[2]) }
end
if more == 0 then seen = last end -- also where the newest number was altered
local cursor = place .. ' ' .. digits(seen)
if move == '1' then
  record.reads = true
  if record.seen > 0 and not record.human then record.seen = now end -- a person is seen with an open page
  save_agent(agents, changes, agent, record)
  save_cursor(cursors, changes, agent, cursor)
  if #items > 0 then emit(events, 'broadcast_read', 'reader', agent, 'seq', seen) end
end
return { 'ok', items, missed, cursor, more }
