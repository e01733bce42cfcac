#!lua flags=allow-oom
--[[ read: lease messages to reading sessions, for each by itself.
Atomic because a message handed out, its lease and its delivery count must agree, and a message that died or expired
must leave in the same step. Order: with `resume` the session's own leased messages, then those whose lease ended or
that were returned (of more than 1000, those due longest), then new ones; each by stream ID. Where it is known what the
session was shown, a message that it was not is no repeat because of this session, and comes in its place among those
that were returned: the session itself may have returned an earlier one.
KEYS     events          stream   {po}:events3
         agents          hash     {po}:agents
         notices         hash     {po}:notices
         presence        zset     {po}:presence
         sessions        hash     {po}:sessions
         changes         stream   {po}:changes
EACH     inbox           stream   {po}:inbox4:<agent>
         leases          zset     {po}:leases:<agent>
         index           hash     {po}:index:<agent>
         dead            stream   {po}:dead4:<agent>
ARGV     agent           the reader's present name
         consumer        the reading session
         limit           most messages to lease
         budget          most characters of bodies, 0 for no limit; the first message always fits
         lease_ms        length of the lease
         max_deliveries  deliveries before a message is dead
         ttl_ms          time to live
         max_dead        most dead letters stored
         resume          '1': begin with the session's own leased messages
         shown           JSON object, message id -> delivery count: what `resume` leaves out as shown; '': not known
         ack_now         '1': acknowledge in the same step
         acting          '1': the consumer is a session that must act as the agent
         verified        '1': end before a message of an unverified sender or over the budget, even the first one
RETURNS  ok, one text of: 1 more could be read | 0, dead and expired ones (100 end the call), how many of the first
           items `resume` repeats; then the items: each is one text of stream ID, delivery, 1 redelivered | 0, number of
           fields and values, content digest or '', and these fields and values. Flat, as each list in it costs as much
           as a look-up
         alias, present name
         acts as, its agent, or unknown: the session does not act as it should, see lib/acting.lua
ERRORS   IS_PERSON  the inbox is that of a person or of all people: they open messages by their ids
TIME     O(limit + due)
]]
local events = KEYS[1]
local agents = KEYS[2]
local now, time = now_ms()

local function read(keys, args) -- seldom used keys go by their number, see send.lua
  local inbox, leases, index, dead = unpack(KEYS, keys + 1, keys + 4)
  local agent, consumer, limit, budget, lease_ms, max_deliveries, ttl_ms, max_dead, resume, shown, ack_now, acting,
    verified = unpack(ARGV, args + 1, args + 13)
  local keys = { inbox = inbox, leases = leases, index = index, dead = dead, events = events, agents = agents,
    notices = KEYS[3] }
  limit, budget, ttl_ms = tonumber(limit), tonumber(budget), tonumber(ttl_ms)
  resume, ack_now, verified = resume == '1', ack_now == '1', verified == '1'
  if shown == '' then
    shown = nil
  else
    --@include lib/shown
    shown = shown_counts(index, shown)
  end

  local stored = redis.call('HGET', agents, agent)
  if not stored or string.sub(stored, 1, 1) == '@' then
    --@include lib/agent
    local target = alias_of(agents, agent)
    if target then return { 'alias', target } end
    stored = ''
  end
  if acting == '1' then
    --@include lib/acting
    local wrong = not_acting_as(agents, KEYS[4], KEYS[5], consumer, agent, now)
    if wrong then return wrong end
  end
  -- not decoded, like the record of an agent that is sent to
  if agent == 'human' or string.find(stored, '"human":true', 1, true) then
    local what = agent == 'human' and ' is the mailbox of all people, who open' or ' is a person, who opens'
    return redis.error_reply('IS_PERSON ' .. agent .. what .. ' messages by their ids once they were seen: '
      .. 'GET /api/people/NAME lists them, POST /api/people/NAME/seen opens them; here nothing was read')
  end
  -- `acted`: it is seen from now on; else it is only if it was before, because to read makes nobody known
  local function save_reader(acted)
    --@include lib/agent
    local record = stored ~= '' and record_of(agent, stored) or { since = 0, seen = 0 }
    record.reads = true
    if acted or record.seen > 0 then record.seen = now end
    save_agent(agents, KEYS[6], agent, record)
  end
  local _, at = string.find(stored, '"seen":', 1, true) -- as plain text: a pattern is tried at each character before
  local seen = tonumber(at and string.match(stored, '^(%d+)[,}]', at + 1) or 0)
  if seen > 0 and now - seen > 1000 or not string.find(stored, '"reads":true', 1, true) then save_reader(false) end
  local stored_count, leased_count = redis.call('XLEN', inbox), redis.call('ZCARD', leases)
  if stored_count == 0 and (leased_count == 0 or redis.call('EXISTS', inbox) == 0) then return { 'ok', '0 0 0' } end

  local reply, ids, died, repeats = { 'ok', '' }, {}, 0, 0
  local chosen, length, full = 0, 0, false

  -- return the id of a message ('' if a disk has altered it) if limit and budget allow to choose it; after the first
  -- that they do not, none is chosen
  local function choose(fields)
    if chosen >= limit then full = true end
    local id, _, is_verified, body = message_of(fields)
    if verified and not is_verified then full = true end
    if full then return nil end
    if budget > 0 then
      if (chosen > 0 or verified) and length + body > budget then full = true return nil end
      length = length + body
    end
    chosen = chosen + 1
    return id
  end

  -- `deliveries` may be text; `held`: it is pending in the group and has a lease or a time before which it is not
  -- given out
  local function lease(stream_id, id, fields, deliveries, repeated, held)
    local entry, digest = load_entry(index, id), nil
    if not entry or entry.s ~= stream_id then
      --@include lib/rebuilt
      entry = record_at(stream_id, id, fields, entry)
      digest = entry == false and '?'
    end
    if entry then
      entry.st, entry.r, entry.n, entry.l = 'leased', consumer, deliveries, time
      repeated = repeated or entry.a -- before a requeue, which restarted the count
    end
    if ack_now then
      finish(inbox, held and leases, index, stream_id, id, 'acked', time, nil, entry)
    else
      if entry then save_entry(index, id, entry) end
      redis.call('ZADD', leases, now + lease_ms, stream_id)
    end
    if repeated then repeats = repeats + 1 end
    reply[#reply + 1] = stream_id .. ' ' .. deliveries .. (repeated and ' 1 ' or ' 0 ') .. #fields .. ' '
      .. (entry and entry.d or digest or '')
    for _, each in ipairs(fields) do reply[#reply + 1] = each end
    ids[#ids + 1] = id
  end

  local unshown = {} -- stream IDs of what the session holds without having been shown it
  if resume and leased_count > 0 then
    --@include lib/leased_by
    for _, pending in ipairs(leased_by(inbox, leases, consumer, now)) do
      local stream_id, deliveries = pending[1], tonumber(pending[4])
      local fields = not shown and fields_at(inbox, stream_id)
      if fields then
        local id = choose(fields)
        if not id then break end
        lease(stream_id, id, fields, deliveries, true, true)
      elseif shown and shown[stream_id] ~= deliveries then
        unshown[stream_id] = true
      end
    end
  end

  local resumed = #ids
  if leased_count > 0 then
    --@include lib/delivery
    --@include lib/due
    --@include lib/expire
    --@include lib/move_to_dead
    max_deliveries, max_dead = tonumber(max_deliveries), tonumber(max_dead)
    local due = due_messages(inbox, leases, index, events, now)
    if next(unshown) then
      for _, stream_id in ipairs(due) do unshown[stream_id] = nil end -- the clock was stepped back
      for stream_id in pairs(unshown) do due[#due + 1] = stream_id end
      by_id(due)
    end
    for _, stream_id in ipairs(due) do
      if full then break end
      local fields = fields_at(inbox, stream_id)
      local _, deliveries = delivery_of(inbox, stream_id)
      if not fields then
        redis.call('XACK', inbox, 'agents', stream_id)
        redis.call('ZREM', leases, stream_id)
      elseif unshown[stream_id] then
        local id = choose(fields)
        if id then lease(stream_id, id, fields, deliveries, deliveries > 1, true) end
      elseif is_expired(stream_id, ttl_ms, now) then
        end_expired(keys, agent, stream_id, fields, now, max_dead)
        died = died + 1
      elseif deliveries >= max_deliveries then
        move_to_dead(keys, agent, stream_id, fields, deliveries, now, max_dead)
        died = died + 1
      else
        local id = choose(fields)
        if id then
          if not ack_now then
            redis.call('XCLAIM', inbox, 'agents', consumer, 0, stream_id, 'RETRYCOUNT', deliveries + 1, 'JUSTID')
          end
          -- a count of 0 means that the only delivery so far was undone
          lease(stream_id, id, fields, deliveries + 1, deliveries > 0, true)
        end
      end
      full = full or died >= most_ended
    end
  end

  local new, examined = {}, 0
  local from = '0-0'
  if leased_count > 0 then -- what was delivered and is still there has a lease or a time in `leases`
    for _, group in ipairs(redis.call('XINFO', 'GROUPS', inbox)) do
      if field(group, 'name') == 'agents' then from = field(group, 'last-delivered-id') end
    end
  end
  while not full and chosen < limit and examined < 1000 do
    local batch = redis.call('XRANGE', inbox, '(' .. from, '+', 'COUNT', limit - chosen)
    if #batch == 0 then break end
    for _, each in ipairs(batch) do
      from, examined = each[1], examined + 1
      if is_expired(each[1], ttl_ms, now) then
        --@include lib/expire
        end_expired(keys, agent, each[1], each[2], now, tonumber(max_dead))
        died = died + 1
        full = died >= most_ended
      else
        each[3] = choose(each[2])
        if each[3] then new[#new + 1] = each end
      end
      if full then break end
    end
    full = full or chosen >= limit
  end
  if #new > 0 and not ack_now then -- what is acknowledged at once need not be pending first
    -- as XREADGROUP would, which would look for each of them again
    local claim = { 'XCLAIM', inbox, 'agents', consumer, 0 }
    for _, each in ipairs(new) do claim[#claim + 1] = each[1] end
    local options = { 'RETRYCOUNT', 1, 'FORCE', 'JUSTID', 'LASTID', new[#new][1] }
    for _, each in ipairs(options) do claim[#claim + 1] = each end
    local refusal = redis.pcall(unpack(claim)).err
    if refusal then
      -- created by the first read and from the start of the stream, also after the server lost its data
      if string.find(refusal, 'NOGROUP', 1, true) then redis.call('XGROUP', 'CREATE', inbox, 'agents', '0') end
      redis.call(unpack(claim))
    end
  end
  for _, each in ipairs(new) do lease(each[1], each[3], each[2], '1', false, not ack_now) end

  if #ids > 0 then
    local again = repeats > 0 and { 'redelivered', repeats } or {}
    local listed = cjson.encode(ids)
    emit(events, 'msg_read', 'ids', listed, 'to', agent, 'reader', consumer, unpack(again))
    if ack_now then
      emit(events, 'msg_ack', 'ids', listed, 'to', agent, 'reader', consumer)
      if seen == 0 then save_reader(true) end
    end
  end
  local left = stored_count - died - #ids -- if nothing had a lease before
  if leased_count > 0 then
    --@include lib/available
    left = available(inbox, leases, now)
  end
  reply[2] = (left > 0 and '1 ' or '0 ') .. died .. ' ' .. resumed
  return reply
end

return each_call(6, 13, read)
