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
TIME     O(offset + limit)
]]
--@include lib/entry
--@include lib/fields
local inbox, index = unpack(KEYS)
local offset, limit, bytes = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local items, from, used = {}, '-', 0
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
      if #items == limit or (#items > 0 and used > bytes) then return { redis.call('XLEN', inbox), items } end
      items[#items + 1] = { each[1], each[2], digest_of(index, each[1], each[2]) }
    end
  end
end
return { redis.call('XLEN', inbox), items }
