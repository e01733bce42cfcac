-- move a message to the dead letters and leave a note, so that its sender is told even after a crash
local function bury(keys, agent, stream_id, fields, deliveries, now, most)
  local id, from = field(fields, 'id'), field(fields, 'from')
  local letter = { 'reason', 'max_deliveries', 'deliveries', deliveries, 'died', digits(now) }
  for _, value in ipairs(fields) do letter[#letter + 1] = value end
  local dead_id = redis.call('XADD', keys.dead, '*', unpack(letter))
  local entry = settle(keys.inbox, keys.leases, keys.index, stream_id, id, 'dead', now, 'max_deliveries')
  local deaths = (entry and entry.x or 0) + 1
  if entry then
    entry.s, entry.n, entry.x = dead_id, deliveries, deaths
    save_entry(keys.index, id, entry)
  end
  emit(keys.events, 'msg_dead', 'id', id, 'to', agent, 'from', from, 'reason', 'max_deliveries')
  if redis.call('XLEN', keys.dead) > most then
    local oldest = redis.call('XRANGE', keys.dead, '-', '+', 'COUNT', 1)[1]
    local gone = field(oldest[2], 'id')
    redis.call('XDEL', keys.dead, oldest[1])
    local old = load_entry(keys.index, gone)
    if old and old.s == oldest[1] then
      old.st, old.e, old.w = 'expired', now, 'dead_letters_full'
      save_entry(keys.index, gone, old)
    end
    emit(keys.events, 'msg_expired', 'id', gone, 'to', agent, 'reason', 'dead_letters_full')
  end
  if from ~= 'system' then
    local sender = load_agent(keys.agents, (alias_of(keys.agents, from)) or from)
    if sender and sender.reads then
      redis.call('HSET', keys.notices, agent .. ' ' .. id .. (deaths > 1 and ' ' .. deaths or ''), from)
    end
  end
  return { id, from }
end
