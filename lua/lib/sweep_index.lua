local function is_over(entry, ttl_ms, now)
  if entry.st == 'queued' or entry.st == 'leased' or entry.st == 'dead' then return false end
  if entry.st == 'expired' and entry.w == 'ttl' and entry.x then return false end
  return math.max(tonumber(entry.t) or 0, tonumber(entry.e) or 0) + ttl_ms <= now
end

-- forget message ids whose time is over, examining about `count` from where the last call stopped; returns how many it
-- forgot, and whether a round through all of them has ended. The id of a message that is queued, leased or dead is
-- kept, also of one that died because it expired, and else for one time to live after its end, for its sender to ask
-- about. A step back of the clock only keeps it longer. An altered record is replaced by what `mend` returns for the
-- id, or forgotten if that is nil; it is kept where there is no `mend`, because its message may still be there
local function sweep_index(index, ttl_ms, now, count, mend)
  local reply, forgotten = redis.call('HSCAN', index, redis.call('HGET', index, '#swept') or '0', 'COUNT', count), 0
  for at = 1, #reply[2], 2 do
    local id, value = reply[2][at], reply[2][at + 1]
    -- most are too young, seen so fast
    local state, accepted = string.match(value, '^[^ ]* [^ ]* [^ ]* ([^ ]*) ([^ ]*) ')
    if string.sub(id, 1, 1) ~= '#' and state ~= 'queued' and state ~= 'leased' and state ~= 'dead'
      and (not state or (tonumber(accepted) or 0) + ttl_ms <= now) then
      local entry = entry_of(value)
      local mended = not entry and mend and mend(id)
      if mended then
        save_entry(index, id, mended)
      elseif entry and is_over(entry, ttl_ms, now) or not entry and mend then
        forgotten = forgotten + redis.call('HDEL', index, id)
      end
    end
  end
  if reply[1] == '0' then redis.call('HDEL', index, '#swept') else redis.call('HSET', index, '#swept', reply[1]) end
  return forgotten, reply[1] == '0'
end
