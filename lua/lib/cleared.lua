-- the numbers that were cleared, as pairs of the first and the last of some; none if a disk has altered them
local function cleared_ranges(feed)
  local whole, ranges = pcall(cjson.decode, redis.call('HGET', feed, 'cleared') or '[]')
  if not whole or type(ranges) ~= 'table' then return {} end
  for _, range in ipairs(ranges) do
    if type(range) ~= 'table' or type(range[1]) ~= 'number' or type(range[2]) ~= 'number' then return {} end
  end
  return ranges
end
