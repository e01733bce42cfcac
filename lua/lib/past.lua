-- past: marks of one name: the history ID of an entry that gives it as sender or recipient. A mark stands for all of
-- the name's entries in the MARK_MS of postino/store/marks.py from its own on: a search reads those, and busy names
-- cost no write per message, because the caller says until when it knows them to be marked.
-- Named as the entry names it: a rename moves nothing, and a search looks under all names of an agent. A mark costs
-- about 17 bytes. What has outlived its entry is trimmed once per time to live; an unused name goes after two of them.
-- A new stream takes 4 KB at once, its copy only what it holds: few names ever fill them
local function mark(past, copy, history_id, ttl_ms, now)
  redis.call('XADD', past, history_id, '', '')
  local left = redis.call('PTTL', past)
  if left < ttl_ms then
    redis.call('XTRIM', past, 'MINID', digits(now - ttl_ms))
    if left == -1 and redis.call('COPY', past, copy) == 1 then redis.call('RENAME', copy, past) end
    redis.call('PEXPIRE', past, 2 * ttl_ms)
  end
end

-- mark an entry under both of its names, unless marks that the caller knows of stand for it, until the text
-- `marked_until`; returns the milliseconds of the new marks, or 0
local function mark_both(past, past_from, copy, history_id, marked_until, ttl_ms, now)
  local ms = string.match(history_id, '^%d+')
  if #ms == #marked_until and ms <= marked_until then return 0 end
  ttl_ms = tonumber(ttl_ms)
  mark(past, copy, history_id, ttl_ms, now)
  if past_from ~= past then mark(past_from, copy, history_id, ttl_ms, now) end
  return ms
end
