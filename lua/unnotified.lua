#!lua flags=allow-oom
--[[ unnotified: tell what waits for the agent of a Claude process, and what of it the process has not been told.
Atomic because the counts must be of one moment. It remembers no more than that the process lives: `tell` notes what
it has been told, once it has.
What has outlived its time is ended first.
KEYS     inbox       stream   {po}:inbox:<agent>
         leases      zset     {po}:leases:<agent>
         index       hash     {po}:index:<agent>
         events      stream   {po}:events
         agents      hash     {po}:agents
         broadcasts  stream   {po}:broadcasts
         feed        hash     {po}:feed
         cursors     hash     {po}:cursors
         sessions    hash     {po}:sessions
ARGV     agent       the present name, as far as the caller knows
         session     the session that acts as it, whose agent it must be; or ''
         process     the Claude process: host:pid:start
         claude      its Claude session id; another one has been told nothing yet
         ttl_ms      time to live
RETURNS  ok, unread messages, unseen broadcasts, senders of the former, messages not told before (those that came back
         since count), broadcasts not told before, senders of the former, JSON array of the ids of the former,
         1 greeted before | 0, stream ID of the newest message or '', number of the last broadcast, now in ms
         alias, the present name, or that of the session's agent
ERRORS   NONE
TIME     O(log n), whatever waits; at most 50 messages are looked at for their senders, at most 100 new ones and 100
         that came back counted
]]
--@include lib/now
--@include lib/number
--@include lib/stream_id
--@include lib/event
--@include lib/agent
--@include lib/entry
--@include lib/settle
--@include lib/expire
--@include lib/available
--@include lib/cursor
--@include lib/waiting
--@include lib/returned
--@include lib/process
local inbox, leases, index, events, agents, broadcasts, feed, cursors, sessions = unpack(KEYS)
local agent, session, process, claude = unpack(ARGV, 1, 4)
local ttl_ms, now = tonumber(ARGV[5]), now_ms()
local holder = session ~= '' and redis.call('HGET', sessions, session)
local target = holder and cjson.decode(holder).agent or agent
target = alias_of(agents, target) or (target ~= agent and target)
if target then return { 'alias', target } end
local record, stored = load_process(sessions, agents, process, agent, claude)
if stored and (record.at or 0) + 3600000 < now then -- in use: housekeeping must not forget it
  record.at = now
  redis.call('HSET', sessions, 'process:' .. process, cjson.encode(record))
end

local unread, senders, fresh, fresh_senders, newest = 0, {}, {}, {}, nil
if redis.call('EXISTS', inbox) == 1 then
  expire(inbox, leases, index, events, agent, ttl_ms, now)
  unread = available(inbox, leases, now)
  newest = redis.call('XREVRANGE', inbox, '+', '-', 'COUNT', 1)[1]
  if unread > 0 then
    senders = select(2, waiting(inbox, leases, '0-0', 50, now))
    fresh, fresh_senders = waiting(inbox, leases, record.mail or '0-0', 100, now)
    returned(inbox, leases, record, now, fresh, fresh_senders)
  end
end
local last, first = feed_bounds(broadcasts, feed, now, ttl_ms)
local _, seen = load_cursor(cursors, agent)
local behind = math.max(seen or 0, first - 1)
local unseen, unheard = math.max(0, last - behind), math.max(0, last - math.max(behind, record.feed or 0))
return { 'ok', unread, unseen, senders, #fresh, unheard, fresh_senders, #fresh > 0 and cjson.encode(fresh) or '[]',
  record.greeted and 1 or 0, newest and newest[1] or '', last, digits(now) }
