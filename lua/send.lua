#!lua
--[[ send: accept messages into inboxes, each once per id, and each by itself.
Atomic because id, inbox and history, whose entry is the event, must be written together or not at all.
KEYS     history     stream   {po}:history
         events      stream   {po}:events3
         agents      hash     {po}:agents
         presence    zset     {po}:presence
         sessions    hash     {po}:sessions
         meta        hash     {po}:meta
         notices     hash     {po}:notices
         changes     stream   {po}:changes
         copy        stream   {po}:copy, which there is only within lib/past
EACH     inbox       stream   {po}:inbox4:<agent>
         leases      zset     {po}:leases:<agent>
         index       hash     {po}:index:<agent>
         past        stream   {po}:past:<agent>
         past_from   stream   {po}:past:<sender>
         dead        stream   {po}:dead4:<agent>
ARGV     agent       the recipient's present name
         id          message id
         digest      fingerprint of the content
         sender      who sends
         message     the message from its id on, as lib/message.lua has it
         max_inbox   most unacknowledged messages, and most dead letters
         ttl_ms      time to live
         session     the session that must act as the sender, or ''
         marked_until  ms until which the caller knows entries of both names to be marked in the history
RETURNS  one text of: ok, seq, 1 created | 0 repeated, 1 known recipient | 0 one that never acted, ms of new marks | 0,
           1 recipient online | 0, ms when it was last seen | 0, ms of now, 1 recipient is a person | 0
         alias, present name
         acts as, its agent, or unknown: the session does not act as it should, see lib/acting.lua
ERRORS   KEY_REUSED  the id was accepted with other content
         INBOX_FULL  nothing was stored
         IMPORTING   an import runs; nothing was stored
         WRONG_STORE a newer postino has taken over the data; nothing was stored
TIME     O(log n) in the inbox, for each message
]]
local history = KEYS[1]
local agents = KEYS[3]

local now, time = now_ms()
local refusal, format_1 = importing(KEYS[6])
if refusal then return refusal end

-- each local from outside that a function uses costs as much as an argument: seldom used keys go by their number
local function send(keys, args)
  local inbox, leases, index, past, past_from, dead = unpack(KEYS, keys + 1, keys + 6)
  -- ttl_ms is made a number when it is needed: this takes longer than a key's look-up
  local agent, id, digest, from, message, max_inbox, ttl_ms, session, marked_until = unpack(ARGV, args + 1, args + 9)
  max_inbox = tonumber(max_inbox)

  if session ~= '' then
    --@include lib/acting
    local wrong = not_acting_as(agents, KEYS[4], KEYS[5], session, from, now)
    if wrong then return wrong end
  end
  local record = redis.call('HGET', agents, agent)
  if not record or string.sub(record, 1, 1) == '@' then
    --@include lib/agent
    local target = alias_of(agents, agent)
    if target then return { 'alias', target } end
    record = nil
  end
  -- members are found as plain text: a pattern is tried at each character before, which takes up to three times as long
  local _, at = string.find(record or '', '"seen":', 1, true)
  local seen, online = at and string.match(record, '^(%d+)[,}]', at + 1) or '0', '0'
  local person = (agent == 'human' or record and string.find(record, '"human":true', 1, true)) and '1' or '0'
  local known = (seen ~= '0' or person == '1') and ' 1 ' or ' 0 '
  -- not decoded: a record that a disk has damaged must not refuse the message
  _, at = string.find(record or '', '"sessions":', 1, true)
  for session in string.gmatch(at and seen ~= '0' and string.match(record, '^%b[]', at + 1) or '', '"([^"]+)"') do
    local ends = redis.call('ZSCORE', KEYS[4], session)
    if ends and tonumber(ends) > now then online = '1' end
  end

  local existing, last, leaves = unpack(redis.call('HMGET', index, id, '#seq', '#leaves'))
  if existing then
    --@include lib/entry
    existing = entry_of(existing)
    if not existing or existing.d == '' then
      --@include lib/identified
      existing = identified(inbox, dead, index, id, message, digest)
    end
    if not existing or existing.d ~= digest then
      --@include lib/other_content
      return redis.error_reply('KEY_REUSED id ' .. id .. ' was already accepted ' .. other_content(existing))
    end
    return 'ok ' .. existing.q .. ' 0' .. known .. '0 ' .. online .. ' ' .. seen .. ' ' .. time .. ' ' .. person
  end

  local highest = tonumber(last)
  -- an inbox holds no more messages than it has given numbers
  if (highest or max_inbox) >= max_inbox and redis.call('XLEN', inbox) >= max_inbox then
    --@include lib/expire
    local keys = { inbox = inbox, leases = leases, index = index, dead = dead, events = KEYS[2], agents = agents,
      notices = KEYS[7] }
    --@include lib/people
    local mail_ttl_ms = person == '1' and person_ttl(tonumber(ttl_ms)) or tonumber(ttl_ms)
    if expire(keys, agent, mail_ttl_ms, now, max_inbox) == 0 then
      return redis.error_reply('INBOX_FULL ' .. agent .. ' already holds ' .. max_inbox .. ' unacknowledged messages')
    end
    -- Redis 7.0 takes the time of an entry when it is written, and store/history.py looks for it near the accepted time
    now, time = now_ms()
  end

  if not record or seen == '0' and string.find(record, '"since":0[,}]') then
    --@include lib/agent
    save_agent(agents, KEYS[8], agent, agent_from(agents, agent, now))
  end
  -- the ids were kept for a time after the removal of an agent, which must end if the name is used again; format 1 had
  -- no field that tells of it
  if leaves or format_1 then redis.call('PERSIST', index) end
  if leaves then redis.call('HDEL', index, '#leaves') end
  local count = (highest or 0) + 1
  if last and not (count > 1 and count % 1 == 0 and count < 1e13) then
    --@include lib/next_number
    count = next_number(index, inbox)
  end
  local seq = tostring(count)
  message = seq .. ' ' .. time .. ' ' .. message
  local stream_id = redis.call('XADD', inbox, '*', 'm', message)
  redis.call('HSET', index, id, new_entry(stream_id, digest, seq, 'queued', time, from), '#seq', seq)
  local entry = redis.call('XADD', history, '*', agent, message)
  local marked = mark_both(past, past_from, KEYS[9], entry, marked_until, ttl_ms, now)
  if string.find(entry, '0%-?0$', -3) then -- one send in ten, or of many in one ms one in a hundred: that is enough
    redis.call('XTRIM', history, 'MINID', '~', digits(now - ttl_ms))
  end
  if (count + string.byte(agent, -1)) % 64 == 0 then -- inboxes that fill evenly are not all swept in one call
    --@include lib/sweep_index
    sweep_index(index, tonumber(ttl_ms), now, 64)
  end
  return 'ok ' .. seq .. ' 1' .. known .. marked .. ' ' .. online .. ' ' .. seen .. ' ' .. time .. ' ' .. person
end

return each_call(9, 9, send)
