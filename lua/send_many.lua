#!lua
--[[ send_many: accept a message for several agents, once per id and agent: for all of them or for none.
Atomic because a sender that is refused must have written to nobody. Each agent gets a message of its own, with its own
number, lease and state, and an event; the history gets one entry.
KEYS     history       stream   {po}:history
         events        stream   {po}:events3
         agents        hash     {po}:agents
         presence      zset     {po}:presence
         sessions      hash     {po}:sessions
         meta          hash     {po}:meta
         notices       hash     {po}:notices
         groups        hash     {po}:groups
         changes       stream   {po}:changes
         copy          stream   {po}:copy, which there is only within lib/past
         past_from     stream   {po}:past:<sender>; behind it, of each recipient, inbox, leases, index, dead, past
ARGV     names         JSON array of the recipients' present names, whose keys these are, at most 200
         id            message id
         digest        fingerprint of the content
         sender        who sends
         message       the message from its id on, as lib/message.lua has it
         via           how it was sent
         max_inbox     most unacknowledged messages of one inbox
         ttl_ms        time to live
         session       the session that must act as the sender, or ''
         max_dead      most dead letters stored
         marked_until  ms until which the caller knows entries of all names to be marked in the history
         group         the group in lower case whose members these are, or ''
         record        the group's record from which the caller took the members
RETURNS  ok, ms of new marks | 0, ms of now; of each recipient seq, 1 created | 0 repeated, 1 known | 0 never acted,
           1 online | 0, ms when it was last seen, 1 a person | 0
         alias, the present name of each recipient, if one of them is an alias
         members, if the group has another record by now
         acts as, its agent, or unknown: the session does not act as it should, see lib/acting.lua
ERRORS   KEY_REUSED    the id was accepted with other content
         INBOX_FULL    nothing was stored
         IMPORTING     an import runs; nothing was stored
         WRONG_STORE   a newer postino has taken over the data; nothing was stored
TIME     O(n log m) in the recipients and the messages of an inbox
]]
max_inbox, ttl_ms, max_dead = tonumber(max_inbox), tonumber(ttl_ms), tonumber(max_dead)
local most_swept = 4 -- indexes in one call: the others have their turn with a later message

local now = now_ms()
local wrong = not_acting_as(agents, presence, sessions, session, sender, now)
if wrong then return wrong end
local refusal, format_1 = importing(meta)
if refusal then return refusal end
if group ~= '' and redis.call('HGET', groups, group) ~= record then return { 'members' } end

names = cjson.decode(names)
local moved = false
local present = { 'alias' }
for _, name in ipairs(names) do
  local target = alias_of(agents, name)
  moved = moved or target
  present[#present + 1] = target or name
end
if moved then return present end

local recipients, new = {}, {}
for at, name in ipairs(names) do
  local first = 11 + (at - 1) * 5
  local each = { name = name, inbox = KEYS[first + 1], leases = KEYS[first + 2], index = KEYS[first + 3],
    dead = KEYS[first + 4], past = KEYS[first + 5], events = events, agents = agents, notices = notices }
  recipients[at] = each
  local readable, record = pcall(load_agent, agents, name) -- one that a disk has damaged must not refuse the message
  each.record = readable and type(record) == 'table' and record or nil
  each.stranger = readable and not record
  each.seen, each.person = each.record and tonumber(each.record.seen) or 0, is_person(each.record, name)
  each.online = each.record and each.seen > 0 and live_sessions(presence, each.record, now) > 0
  local existing, last, leaves = unpack(redis.call('HMGET', each.index, id, '#seq', '#leaves'))
  each.last, each.leaves = tonumber(last) or 0, leaves
  if last and not (each.last > 0 and each.last % 1 == 0 and each.last < 1e13) then
    --@include lib/next_number
    each.last = next_number(each.index, each.inbox) - 1
  end
  if existing then
    existing = entry_of(existing)
    if not existing or existing.d == '' then
      --@include lib/identified
      existing = identified(each.inbox, each.dead, each.index, id, message, digest)
    end
    if not existing or existing.d ~= digest then
      --@include lib/other_content
      return redis.error_reply('KEY_REUSED id ' .. id .. ' was already accepted for ' .. name .. ' '
        .. other_content(existing))
    end
    each.seq = existing.q
  else
    local own_ttl_ms = each.person and person_ttl(ttl_ms) or ttl_ms
    if redis.call('XLEN', each.inbox) >= max_inbox and expire(each, name, own_ttl_ms, now, max_dead) == 0 then
      return redis.error_reply('INBOX_FULL ' .. name .. ' already holds ' .. max_inbox
        .. ' unacknowledged messages; nothing was sent to the others')
    end
    new[#new + 1] = each
  end
end

local time, marked, swept = digits(now), 0, 0
if #new > 0 then
  local to = {}
  for at, each in ipairs(new) do
    to[at] = each.name
    if each.stranger then save_agent(agents, changes, each.name, agent_from(agents, each.name, now)) end
    if each.leaves or format_1 then redis.call('PERSIST', each.index) end -- see send.lua
    if each.leaves then redis.call('HDEL', each.index, '#leaves') end
    each.seq, each.created = each.last + 1, true
    local stream_id = redis.call('XADD', each.inbox, '*', 'm', each.seq .. ' ' .. time .. ' ' .. message)
    redis.call('HSET', each.index, id, new_entry(stream_id, digest, each.seq, 'queued', time, sender), '#seq', each.seq)
    emit(events, 'msg_send', 'id', id, 'to', each.name, 'from', sender, 'seq', each.seq, 'via', via)
    if each.seq % 32 == 0 and swept < most_swept then
      swept = swept + 1
      sweep_index(each.index, ttl_ms, now, 64)
    end
  end
  local entry = redis.call('XADD', history, 'MINID', '~', digits(now - ttl_ms), '*', table.concat(to, ' '),
    '0 ' .. time .. ' ' .. message)
  local ms, done = id_parts(entry), {}
  if ms > tonumber(marked_until) then
    new[#new + 1], marked = { past = past_from }, ms
    for _, each in ipairs(new) do
      if not done[each.past] then mark(each.past, copy, entry, ttl_ms, now) end
      done[each.past] = true
    end
  end
end
local reply = { 'ok', marked, time }
for _, each in ipairs(recipients) do
  for _, value in ipairs({ each.seq, each.created and 1 or 0, (each.seen > 0 or each.person) and 1 or 0,
    each.online and 1 or 0, digits(each.seen), each.person and 1 or 0 }) do
    reply[#reply + 1] = value
  end
end
return reply
