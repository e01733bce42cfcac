local function store_notice(keys, agent, id, from, deaths, reason)
  if from == 'system' then return end
  local sender = load_reader(keys.agents, (alias_of(keys.agents, from)) or from)
  if sender and (sender.reads or sender.human) then
    redis.call('HSET', keys.notices, agent .. ' ' .. id .. (deaths > 1 and ' ' .. deaths or ''),
      from .. (reason and ' ' .. reason or ''))
  end
end

-- people have no dead letters: what nobody has opened in time ends, and its sender is notified
local function end_unopened(keys, agent, stream_id, id, from, now)
  finish(keys.inbox, keys.leases, keys.index, stream_id, id, 'expired', now, 'ttl')
  emit(keys.events, 'msg_expired', 'id', id, 'to', agent, 'from', from, 'reason', 'ttl')
  store_notice(keys, agent, id, from, 1, 'unopened')
  return { id, from }
end

-- move a message to the dead letters and store a notice, so that its sender is notified even after a crash. `reason`:
-- 'expired' when its time to live is over, 'altered' when the disk changed it, by default the end of its last delivery
local function move_to_dead(keys, agent, stream_id, fields, deliveries, now, max_dead, reason)
  local id, from = message_of(fields)
  local expired = reason == 'expired'
  if expired and is_person(load_agent(keys.agents, agent), agent) then
    return end_unopened(keys, agent, stream_id, id, from, now)
  end
  local letter = { 'reason', reason or 'max_deliveries', 'deliveries', deliveries, 'died', digits(now) }
  for _, value in ipairs(fields) do letter[#letter + 1] = value end
  local dead_id = redis.call('XADD', keys.dead, '*', unpack(letter))
  local why = expired and 'ttl' or reason or 'max_deliveries'
  local entry = finish(keys.inbox, keys.leases, keys.index, stream_id, id, expired and 'expired' or 'dead', now, why)
  local deaths = (entry and tonumber(entry.x) or 0) + 1
  if entry then
    entry.s, entry.n, entry.x = dead_id, deliveries, deaths
    save_entry(keys.index, id, entry)
  end
  if expired then
    emit(keys.events, 'msg_expired', 'id', id, 'to', agent, 'from', from, 'reason', why)
  else
    emit(keys.events, 'msg_dead', 'id', id, 'to', agent, 'from', from, 'reason', why)
  end
  if redis.call('XLEN', keys.dead) > max_dead then
    local oldest = redis.call('XRANGE', keys.dead, '-', '+', 'COUNT', 1)[1]
    local oldest_id = message_of(oldest[2])
    delete_dead(keys.dead, keys.index, oldest[1], oldest_id, 'expired', now, 'dead_letters_full')
    emit(keys.events, 'msg_expired', 'id', oldest_id, 'to', agent, 'reason', 'dead_letters_full')
  end
  store_notice(keys, agent, id, from, deaths, reason)
  return { id, from }
end
