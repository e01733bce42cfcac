-- open: message id -> JSON of a message that a person has seen and neither answered nor marked as done
-- record: s stream ID in the inbox, r reader, t seen ms, f flat fields

-- take a message out of an inbox for a person, who has seen it. Returns its entry of the inbox, if it was there, and
-- the name of who has taken it; nil if nobody has
local function open_message(keys, id, reader, now)
  local entry, altered = load_entry(keys.index, id)
  local fields = entry and (entry.st == 'queued' or entry.st == 'leased') and fields_at(keys.inbox, entry.s)
  if altered or entry and fields == nil or fields and message_of(fields) ~= id then
    --@include lib/recovered
    local found = recovered(keys.inbox, nil, id)
    entry, fields = found or entry, found and fields_at(keys.inbox, found.s)
  end
  if fields then
    entry.n, entry.r, entry.l = (tonumber(entry.n) or 0) + 1, '@' .. reader, now -- no consumer begins so
    save_entry(keys.index, id, entry)
    finish(keys.inbox, keys.leases, keys.index, entry.s, id, 'acked', now)
    return { s = entry.s, r = reader, t = now, f = fields }, reader
  end
  -- the open ones outlast the index
  local held = redis.call('HGET', keys.open, id)
  local holder = held and string.match(held, '"r":"([^"]+)"') or entry and string.match(entry.r or '', '^@(.+)')
  return nil, holder and alias_of(keys.agents, holder) or holder
end

local function emit_opened(events, ids, agent, reader)
  if #ids == 0 then return end
  emit(events, 'msg_read', 'ids', cjson.encode(ids), 'to', agent, 'reader', reader)
  emit(events, 'msg_ack', 'ids', cjson.encode(ids), 'to', agent, 'reader', reader)
end
