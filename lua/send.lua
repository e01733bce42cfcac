#!lua
--[[ send: accept a message into an inbox, once per id.
Atomic because id, inbox, history and event must be written together or not at all.
KEYS     inbox       stream   {po}:inbox:<agent>
         leases      zset     {po}:leases:<agent>
         index       hash     {po}:index:<agent>
         order       zset     {po}:order:<agent>
         history     stream   {po}:history
         events      stream   {po}:events
         agents      hash     {po}:agents
         presence    zset     {po}:presence
         sessions    hash     {po}:sessions
         meta        hash     {po}:meta
         past        stream   {po}:past:<agent>
         past_from   stream   {po}:past:<sender>
         dead        stream   {po}:dead:<agent>
         notices     hash     {po}:notices
ARGV     agent       the recipient's present name
         id          message id
         digest      fingerprint of the content
         sender      who sends
         body        the text
         thread      thread or ''
         reply_to    message id or ''
         verified    '1' or ''
         via         how it was sent
         max_inbox   most unacknowledged messages
         ttl_ms      time to live
         session     the session that must act as the sender, or ''
         max_dead    most dead letters stored
         marked_until  ms until which the caller knows entries of both names to be marked in the history
RETURNS  ok, seq, 1 created | 0 repeated, 1 known recipient | 0 one that never acted, ms of new marks | 0,
           1 recipient online | 0, ms when it was last seen | 0, ms of now
         alias, present name
         acts as, the session's agent, when it acts as another
         unknown, when the session is unknown or has to join again
ERRORS   KEY_REUSED  the id was accepted with other content
         INBOX_FULL  nothing was stored
         IMPORTING   an import runs; nothing was stored
TIME     O(log n) in the inbox
]]
--@include lib/acting
--@include lib/agent
--@include lib/entry
--@include lib/event
--@include lib/expire
--@include lib/importing
--@include lib/now
--@include lib/number
--@include lib/past
--@include lib/presence
--@include lib/sweep_index
local inbox, leases, index, order, history, events, agents, presence, sessions, meta, past, past_from = unpack(KEYS, 1, 12)
local agent, id, digest, from, body, thread, reply_to, verified, via = unpack(ARGV, 1, 9)
local max_inbox, ttl_ms = tonumber(ARGV[10]), tonumber(ARGV[11])

local now = now_ms()
local wrong = not_acting_as(agents, presence, sessions, ARGV[12], from, now)
if wrong then return wrong end
local refusal = importing(meta)
if refusal then return refusal end
local record = redis.call('HGET', agents, agent)
if record and string.sub(record, 1, 1) == '@' then return { 'alias', (alias_of(agents, agent)) } end
local known = record and not string.find(record, '"seen":0[,}]') and 1 or 0
local readable, online, seen = pcall(function() -- the record may be damaged, which must not refuse the message
  local recipient = cjson.decode(known == 1 and record or '{}')
  return live_sessions(presence, recipient, now) > 0 and 1 or 0, digits(recipient.seen or 0)
end)
if not readable then online, seen = 0, '0' end

local existing = load_entry(index, id)
if existing then
  if existing.d ~= digest then
    return redis.error_reply('KEY_REUSED id ' .. id .. ' was already accepted with other content')
  end
  return { 'ok', existing.q, 0, known, 0, online, seen, digits(now) }
end

if redis.call('XLEN', inbox) >= max_inbox then
  local keys = { inbox = inbox, leases = leases, index = index, dead = KEYS[13], events = events, agents = agents,
    notices = KEYS[14] }
  if expire(keys, agent, ttl_ms, now, tonumber(ARGV[13])) == 0 then
    return redis.error_reply('INBOX_FULL ' .. agent .. ' already holds ' .. max_inbox .. ' unacknowledged messages')
  end
end

if not record then save_agent(agents, agent, { since = now, seen = 0 }) end
-- the removal of an agent gives its ids a time to live, which must end if the name is used again
redis.call('PERSIST', index)
redis.call('PERSIST', order)
local seq = redis.call('HINCRBY', index, '#seq', 1)
local time = digits(now)
local stream_id = redis.call('XADD', inbox, '*', 'id', id, 'seq', seq, 'from', from, 'verified', verified,
  'via', via, 'body', body, 't', time, 'thread', thread, 'reply_to', reply_to)
save_entry(index, id, { s = stream_id, d = digest, q = seq, st = 'queued', t = now, f = from })
redis.call('ZADD', order, now + ttl_ms, id)
local entry = redis.call('XADD', history, 'MINID', '~', digits(now - ttl_ms), '*', 'kind', 'message', 'id', id,
  'seq', seq, 'from', from, 'verified', verified, 'via', via, 'body', body, 't', time, 'thread', thread,
  'reply_to', reply_to, 'to', agent)
local marked = mark_both(past, past_from, entry, tonumber(ARGV[14]), ttl_ms, now)
emit(events, 'msg_send', 'id', id, 'to', agent, 'from', from, 'seq', seq, 'via', via)
if seq % 16 == 0 then sweep_index(index, order, ttl_ms, now, 64) end
return { 'ok', seq, 1, known, marked, online, seen, digits(now) }
