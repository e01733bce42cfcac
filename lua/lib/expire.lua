local most_ended = 100 -- in one call: each costs ten commands, and other callers wait meanwhile

local function end_expired(keys, agent, stream_id, fields, now, max_dead)
  local _, deliveries = delivery_of(keys.inbox, stream_id)
  return move_to_dead(keys, agent, stream_id, fields, deliveries, now, max_dead, 'expired')
end

-- end the messages whose time to live is over and that are not leased: `most_ended` of the oldest 1000. Returns how
-- many it ended, and how many of the others have expired too
local function expire(keys, agent, ttl_ms, now, max_dead)
  local ended, left = 0, 0
  for _, each in ipairs(redis.call('XRANGE', keys.inbox, '-', digits(now - ttl_ms), 'COUNT', 1000)) do
    if not lasts(keys.leases, each[1], now) then
      if ended < most_ended then
        end_expired(keys, agent, each[1], each[2], now, max_dead)
        ended = ended + 1
      else
        left = left + 1
      end
    end
  end
  return ended, left
end
