#!lua flags=no-writes
--[[ slice: return a slice of a stream of messages, oldest first.
Atomic because length and slice must be of one moment. Entries are skipped and bodies counted here, so that a request
for the tail of a full inbox does not transfer all of it.
KEYS     inbox    stream   {po}:inbox2:<agent>, or another stream of messages: dead letters, broadcasts
         index    hash     {po}:index:<agent>
ARGV     offset   entries to skip
         limit    most entries to return
         bytes    most bytes of entries; the first one always fits
RETURNS  length of the stream, items; an item is stream ID, flat fields, content digest or ''
ERRORS   NONE
TIME     O(n + limit) in the entries between the offset and the nearer end
]]
--@include lib/entry
--@include lib/fields
local inbox, index = unpack(KEYS)
local offset, limit, bytes = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local items, from, used, length = {}, '-', 0, redis.call('XLEN', inbox)
if offset >= length then return { length, items } end
if offset > length / 2 then -- the place is found from the nearer end
  local left, till = length - offset, '+'
  while left > 0 do
    local batch = redis.call('XREVRANGE', inbox, till, '-', 'COUNT', math.min(16, left))
    if #batch == 0 then break end
    left, from = left - #batch, batch[#batch][1]
    till = '(' .. from
  end
  offset = 0
end
while #items < limit do
  -- few at a time: a body may have 128 kB, and skipped entries are loaded too
  local batch = redis.call('XRANGE', inbox, from, '+', 'COUNT', 16)
  if #batch == 0 then break end
  for _, each in ipairs(batch) do
    from = '(' .. each[1]
    if offset > 0 then
      offset = offset - 1
    else
      used = used + bytes_of(each[2])
      if #items == limit or (#items > 0 and used > bytes) then return { length, items } end
      items[#items + 1] = { each[1], each[2], digest_of(index, each[1], each[2]) }
    end
  end
end
return { length, items }
