#!lua flags=no-writes
--[[ part: return a part of a stream of messages, oldest first.
Atomic because length and part must be of one moment. Entries are skipped and bodies counted here, so that a request
for the tail of a full inbox does not transfer all of it.
KEYS     inbox    stream   {po}:inbox4:<agent>, or another stream of messages: dead letters, broadcasts
         index    hash     {po}:index:<agent>
ARGV     from     the entry next to which the part is; '' either end
         way      on which side of it: newer or older
         skip     with newer: entries to skip first; if negative towards older ones, whose last the part follows
         limit    most entries to return
         bytes    most bytes of entries, skipped ones too; the first one always fits
RETURNS  length of the stream, items, and the stream IDs before and after which there are more, or ''; an item is
         stream ID, flat fields, content digest or ''. Where too much has to be skipped for one call instead: length,
         and the `from` and `skip` with which to go on
ERRORS   NONE
TIME     O(limit + skip), skip up to the nearer end, at most 1,000 in a call
]]
local back = way == 'older'
skip, limit, bytes = tonumber(skip), tonumber(limit), tonumber(bytes)
local length, items, used, steps, more = redis.call('XLEN', inbox), {}, 0, 1000, false

local function newer(id, most)
  if id == '18446744073709551615-18446744073709551615' then return {} end -- Valkey refuses the range, as that after
  return redis.call('XRANGE', inbox, id == '' and '-' or '(' .. id, '+', 'COUNT', most)
end
local function older(id, most)
  -- before the first entry XREVRANGE would pass over all of them
  if id == '0-0' or #redis.call('XRANGE', inbox, '-', id == '' and '+' or '(' .. id, 'COUNT', 1) == 0 then return {} end
  return redis.call('XREVRANGE', inbox, id == '' and '+' or '(' .. id, '-', 'COUNT', most)
end

if from == '' and skip > length / 2 then skip = math.min(skip, length) - length - 1 end -- from the nearer end
while skip ~= 0 do
  if steps <= 0 or used > bytes then return { length, from, skip } end
  -- few at a time: a body may have 128 kB, and skipped entries are loaded too
  local batch = skip > 0 and newer(from, math.min(16, skip)) or older(from, math.min(16, -skip))
  if #batch == 0 then -- the others have left since the call before
    from = skip > 0 and from or ''
    break
  end
  for _, each in ipairs(batch) do used = used + bytes_of(each[2]) end
  from, steps, skip = batch[#batch][1], steps - #batch, skip > 0 and skip - #batch or skip + #batch
end

used = 0
repeat
  local batch = (back and older or newer)(from, 16)
  for _, each in ipairs(batch) do
    used = used + bytes_of(each[2])
    more = #items == limit or (#items > 0 and used > bytes)
    if more then break end
    from = each[1]
    table.insert(items, back and 1 or #items + 1, { from, each[2], digest_of(index, from, each[2]) })
  end
until more or #batch < 16
if #items == 0 then return { length, items, '', '' } end
local first, last = items[1][1], items[#items][1]
local is_first, is_last = not more, not more
if back then is_last = #newer(last, 1) == 0 else is_first = #older(first, 1) == 0 end
return { length, items, is_first and '' or first, is_last and '' or last }
