-- what to make of an altered number of a broadcast, or an altered cursor: none is left out, so that each tells the next

-- the number that a text is; nil if it was altered so that it cannot be that of a broadcast, or is above `most`
local function number_up_to(most, text)
  local number = tonumber(text)
  return number and number >= 1 and number <= most and number % 1 == 0 and number or nil
end

local function number_at(entry, most)
  return entry and number_up_to(most, (select(5, message_of(entry[2]))))
end

-- the numbers of the last broadcast ever sent and of the oldest one stored, where they do not fit together
local function mended_bounds(broadcasts, last, oldest)
  local most, count = 9999999999999, redis.call('XLEN', broadcasts)
  last = number_up_to(most, last) or 0
  if not oldest then return last, last + 1 end
  local first = number_at(oldest, most)
  local final = number_at(redis.call('XREVRANGE', broadcasts, '+', '-', 'COUNT', 1)[1], most)
  local agree = count > 1 and first and final and final - first == count - 1
  if agree or last < count then last = math.max(final or 0, count) end
  return last, last - count + 1
end

-- the number to go on from behind a cursor, by what was found after it; nil if broadcasts could be hidden. If the next
-- number is not that of the cursor plus one, a disk has altered the cursor or the stream. At a broadcast that is there
-- nothing after it is hidden, unless the cursor's number is an earlier one
local function sound_number(broadcasts, first, last, stream_id, number, found)
  if found.err then return nil end
  local following = found[1] and number_at(found[1], last) or not found[1] and last + 1
  if following == math.max(number + 1, first) then return number end
  local own = redis.call('XRANGE', broadcasts, stream_id, stream_id)[1]
  if not own then return nil end
  local said = number_at(own, last)
  if not said or following ~= said + 1 then return number end
  return number >= said and said or nil
end
