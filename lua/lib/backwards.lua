-- up to `most` entries of a stream from the place `last` back to `first`, newest first. For a place before the first entry
-- XREVRANGE alone would pass over all of them; Valkey refuses a range before 0-0
local function read_backwards(stream, last, first, most)
  if last == '(0-0' or #redis.call('XRANGE', stream, '-', last, 'COUNT', 1) == 0 then return {} end
  return redis.call('XREVRANGE', stream, last, first, 'COUNT', most)
end
