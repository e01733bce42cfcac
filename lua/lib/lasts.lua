-- whether the time of a lease or of a presence, its score in ms, is still to come
local function lasts(zset, member, now)
  local ends = redis.call('ZSCORE', zset, member)
  return ends and tonumber(ends) > now
end
