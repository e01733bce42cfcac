#!lua
--[[ send: accept a message into an inbox, once per id.
Atomic because id, inbox and history, whose entry is the event, must be written together or not at all.
KEYS     inbox       stream   {po}:inbox4:<agent>
         leases      zset     {po}:leases:<agent>
         index       hash     {po}:index:<agent>
         history     stream   {po}:history
         events      stream   {po}:events3
         agents      hash     {po}:agents
         presence    zset     {po}:presence
         sessions    hash     {po}:sessions
         meta        hash     {po}:meta
         past        stream   {po}:past:<agent>
         past_from   stream   {po}:past:<sender>
         dead        stream   {po}:dead4:<agent>
         notices     hash     {po}:notices
         changes     stream   {po}:changes
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
         acts as, the session's agent, when it acts as another
         unknown, when the session is unknown or has to join again
ERRORS   KEY_REUSED  the id was accepted with other content
         INBOX_FULL  nothing was stored
         IMPORTING   an import runs; nothing was stored
         WRONG_STORE a newer postino has taken over the data; nothing was stored
TIME     O(log n) in the inbox
]]
--@include lib/entry
--@include lib/importing
--@include lib/now
--@include lib/number
--@include lib/past
local inbox, leases, index, history, events, agents, presence, sessions, meta, past, past_from = unpack(KEYS, 1, 11)
local agent, id, digest, from, message = unpack(ARGV, 1, 5)
local max_inbox, ttl_ms = tonumber(ARGV[6]), ARGV[7] -- a number when it is needed: this takes longer than a key's look-up

local now, time = now_ms()
if ARGV[8] ~= '' then
  --@include lib/acting
  local wrong = not_acting_as(agents, presence, sessions, ARGV[8], from, now)
  if wrong then return wrong end
end
local refusal, format_1 = importing(meta)
if refusal then return refusal end
local record = redis.call('HGET', agents, agent)
if not record or string.sub(record, 1, 1) == '@' then
  --@include lib/agent
  local target = alias_of(agents, agent)
  if target then return { 'alias', target } end
  record = nil
end
local seen, online = record and string.match(record, '"seen":(%d+)[,}]') or '0', '0'
local person = (agent == 'human' or record and string.find(record, '"human":true', 1, true)) and '1' or '0'
local known = (seen ~= '0' or person == '1') and '1' or '0'
-- not decoded: a record that a disk has damaged must not refuse the message
for session in string.gmatch(record and seen ~= '0' and string.match(record, '"sessions":(%b[])') or '', '"([^"]+)"') do
  local ends = redis.call('ZSCORE', presence, session)
  if ends and tonumber(ends) > now then online = '1' end
end

-- one text: a list would cost as much as a look-up
local function answer(seq, created, marked)
  return 'ok ' .. seq .. ' ' .. created .. ' ' .. known .. ' ' .. marked .. ' ' .. online .. ' ' .. seen .. ' ' .. time .. ' '
    .. person
end

local existing, last, leaves = unpack(redis.call('HMGET', index, id, '#seq', '#leaves'))
if existing then
  existing = entry_of(existing)
  if existing.d ~= digest then
    return redis.error_reply('KEY_REUSED id ' .. id .. ' was already accepted with other content')
  end
  return answer(existing.q, '0', '0')
end

if redis.call('XLEN', inbox) >= max_inbox then
  --@include lib/expire
  local keys = { inbox = inbox, leases = leases, index = index, dead = KEYS[12], events = events, agents = agents,
    notices = KEYS[13] }
  --@include lib/people
  local mail_ttl_ms = person == '1' and person_ttl(tonumber(ttl_ms)) or tonumber(ttl_ms)
  if expire(keys, agent, mail_ttl_ms, now, max_inbox) == 0 then
    return redis.error_reply('INBOX_FULL ' .. agent .. ' already holds ' .. max_inbox .. ' unacknowledged messages')
  end
end

if not record or seen == '0' and string.find(record, '"since":0[,}]') then
  --@include lib/agent
  save_agent(agents, KEYS[14], agent, agent_from(agents, agent, now))
end
-- the ids were kept for a time after the removal of an agent, which must end if the name is used again; format 1 had no
-- field that tells of it
if leaves or format_1 then redis.call('PERSIST', index) end
if leaves then redis.call('HDEL', index, '#leaves') end
local count = (tonumber(last) or 0) + 1
local seq = tostring(count)
message = seq .. ' ' .. time .. ' ' .. message
local stream_id = redis.call('XADD', inbox, '*', 'm', message)
redis.call('HSET', index, id, new_entry(stream_id, digest, seq, 'queued', time, from), '#seq', seq)
local entry = redis.call('XADD', history, '*', agent, message)
local marked = mark_both(past, past_from, entry, ARGV[9], ttl_ms, now)
if string.find(entry, '0%-?0$') then -- one send in ten, or of many in one ms one in a hundred: it keeps it short enough
  redis.call('XTRIM', history, 'MINID', '~', digits(now - ttl_ms))
end
if count % 64 == 0 then
  --@include lib/sweep_index
  sweep_index(index, tonumber(ttl_ms), now, 64)
end
return answer(seq, '1', marked)
