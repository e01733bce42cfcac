#!lua
--[[ broadcast: accept a broadcast, once per id.
Its event is its history entry.
Atomic because its number must be gapless, and its sender's cursor must not pass a broadcast it has not seen.
KEYS     broadcasts      stream   {po}:broadcasts4
         feed            hash     {po}:feed
         index           hash     {po}:index:all
         cursors         hash     {po}:cursors
         history         stream   {po}:history
         agents          hash     {po}:agents
         presence        zset     {po}:presence
         sessions        hash     {po}:sessions
         meta            hash     {po}:meta
         past            stream   {po}:past:all
         past_from       stream   {po}:past:<sender>
         changes         stream   {po}:changes
         copy            stream   {po}:copy, which there is only within lib/past
ARGV     id              broadcast id
         digest          fingerprint of the content
         sender          who sends
         message         the broadcast from its id on, as lib/message.lua has it
         max_broadcasts  most broadcasts stored
         ttl_ms          time to live
         session         the session that must act as the sender, or ''
         marked_until    ms until which the caller knows entries of both names to be marked in the history
RETURNS  ok, number, 1 created | 0 repeated, ms of new marks | 0
         acts as, its agent, or unknown: the session does not act as it should, see lib/acting.lua
ERRORS   KEY_REUSED  the id was accepted with other content
         IMPORTING   nothing was stored
         WRONG_STORE a newer postino has taken over the data; nothing was stored
TIME     O(log n) in the broadcasts
]]
local now = now_ms()
ttl_ms = tonumber(ttl_ms)
local wrong = not_acting_as(agents, presence, sessions, session, sender, now)
if wrong then return wrong end
local refusal = importing(meta)
if refusal then return refusal end
local existing, altered = load_entry(index, id)
if altered or existing and existing.d == '' then
  --@include lib/identified
  existing = identified(broadcasts, nil, index, id, message, digest)
end
if altered or existing then
  if not existing or existing.d ~= digest then
    --@include lib/other_content
    return redis.error_reply('KEY_REUSED id ' .. id .. ' was already accepted ' .. other_content(existing))
  end
  return { 'ok', existing.q, 0, 0 }
end
local time = digits(now)
local last, first = broadcast_bounds(broadcasts, feed, now, ttl_ms)
local seq = last + 1
redis.call('HSET', feed, 'last', seq)
message = seq .. ' ' .. time .. ' ' .. message
local stream_id = redis.call('XADD', broadcasts, 'MAXLEN', max_broadcasts, '*', 'm', message)
redis.call('HSET', index, id, new_entry(stream_id, digest, seq, 'acked', time, sender))
local entry = redis.call('XADD', history, 'MINID', '~', digits(now - ttl_ms), '*', 'all', message)
local marked = mark_both(past, past_from, copy, entry, marked_until, ttl_ms, now)
local present = alias_of(agents, sender) or sender
if redis.call('HEXISTS', agents, present) == 1 then
  local _, seen = load_cursor(cursors, present, last)
  if (seen or first - 1) >= last then save_cursor(cursors, changes, present, stream_id .. ' ' .. seq) end
end
if seq % 16 == 0 then sweep_index(index, ttl_ms, now, 256) end
return { 'ok', seq, 1, marked }
