#!lua
--[[ broadcast: accept a broadcast into the feed, once per id.
Atomic because its number must be gapless and its sender's cursor must not pass one it has not seen.
KEYS     broadcasts      stream   {po}:broadcasts
         feed            hash     {po}:feed
         index           hash     {po}:index:all
         order           zset     {po}:order:all
         cursors         hash     {po}:cursors
         history         stream   {po}:history
         events          stream   {po}:events
         agents          hash     {po}:agents
ARGV     id              broadcast id
         digest          fingerprint of the content
         sender          who sends
         body            the text
         verified        '1' or ''
         via             how it came in
         max_broadcasts  most kept
         ttl_ms          time to live
RETURNS  number, 1 created | 0 repeated
ERRORS   KEY_REUSED  the id stands for other content
TIME     O(log n) in the feed
]]
--@include lib/now
--@include lib/number
--@include lib/event
--@include lib/agent
--@include lib/entry
--@include lib/sweep_index
--@include lib/cursor
local broadcasts, feed, index, order, cursors, history, events, agents = unpack(KEYS)
local id, digest, from, body, verified, via = unpack(ARGV, 1, 6)
local most, ttl_ms = tonumber(ARGV[7]), tonumber(ARGV[8])
local present = load_entry(index, id)
if present then
  if present.d ~= digest then
    return redis.error_reply('KEY_REUSED id ' .. id .. ' was already accepted with other content')
  end
  return { present.q, 0 }
end
local now = now_ms()
local time = digits(now)
local last, first = feed_bounds(broadcasts, feed, now, ttl_ms)
local seq = last + 1
redis.call('HSET', feed, 'last', seq)
local stream_id = redis.call('XADD', broadcasts, 'MAXLEN', most, '*', 'id', id, 'seq', seq, 'from', from,
  'verified', verified, 'via', via, 'body', body, 't', time)
save_entry(index, id, { s = stream_id, d = digest, q = seq, st = 'acked', t = now, f = from })
redis.call('ZADD', order, now + ttl_ms, id)
redis.call('XADD', history, 'MINID', '~', digits(now - ttl_ms), '*', 'kind', 'broadcast', 'id', id, 'seq', seq,
  'from', from, 'verified', verified, 'via', via, 'body', body, 't', time, 'to', 'all')
local sender = alias_of(agents, from) or from
if redis.call('HEXISTS', agents, sender) == 1 then
  local _, seen = load_cursor(cursors, sender)
  if (seen or first - 1) >= last then redis.call('HSET', cursors, sender, stream_id .. ' ' .. seq) end
end
emit(events, 'broadcast', 'id', id, 'from', from, 'seq', seq, 'via', via)
sweep_index(index, order, ttl_ms, now, 4)
return { seq, 1 }
