--@include lib/number
-- past: stream ID in the history -> one empty field, for each entry that names the key's agent as sender or recipient.
-- Named as the entry names it: a rename moves nothing, and a search looks under all names of an agent. Costs about 17
-- bytes per entry. What has outlived its entry is trimmed once per time to live; an unused name goes after two of them
local function remember(past, history_id, ttl_ms, now)
  -- pcall: after a history that was deleted by hand its IDs may begin again, below those here
  redis.pcall('XADD', past, history_id, '', '')
  if redis.call('PTTL', past) < ttl_ms then
    redis.call('XTRIM', past, 'MINID', digits(now - ttl_ms))
    redis.call('PEXPIRE', past, 2 * ttl_ms)
  end
end

local function remember_both(past, past_from, history_id, ttl_ms, now)
  remember(past, history_id, ttl_ms, now)
  if past_from ~= past then remember(past_from, history_id, ttl_ms, now) end
end
