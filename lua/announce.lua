#!lua flags=allow-oom
--[[ announce: tell what waits for the agent of a Claude process, and remember what it has been told.
Atomic because two hooks of one process must not both announce a message. What has outlived its time is ended first.
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
         told        'mail': the answer tells of the messages; 'all': of the broadcasts too; '': of nothing
         greeted     '1': the answer also says who the session is
         how         way of telling that the messages keep, or ''
         ttl_ms      time to live
RETURNS  ok, unread messages, unseen broadcasts, senders of the former, messages not told before, broadcasts not told
         before, senders of the former, JSON array of the ids of the former, 1 greeted before | 0
         alias, the present name, or that of the session's agent
ERRORS   NONE
TIME     O(log n), whatever waits; at most 50 messages are looked at for their senders, at most 100 new ones counted
]]
--@include lib/now
--@include lib/number
--@include lib/event
--@include lib/agent
--@include lib/entry
--@include lib/settle
--@include lib/expire
--@include lib/available
--@include lib/cursor
--@include lib/waiting
local inbox, leases, index, events, agents, broadcasts, feed, cursors, sessions = unpack(KEYS)
local agent, session, process, claude = ARGV[1], ARGV[2], 'process:' .. ARGV[3], ARGV[4]
local told, greeted, how, ttl_ms, now = ARGV[5], ARGV[6] == '1', ARGV[7], tonumber(ARGV[8]), now_ms()
local holder = session ~= '' and redis.call('HGET', sessions, session)
local target = holder and cjson.decode(holder).agent or agent
target = alias_of(agents, target) or (target ~= agent and target)
if target then return { 'alias', target } end

local stored = redis.call('HGET', sessions, process)
local record = stored and cjson.decode(stored) or {}
local before = record.of and (alias_of(agents, record.of) or record.of)
if before ~= agent or record.on ~= claude then record.mail, record.feed, record.greeted = nil, nil, nil end
record.of, record.on = agent, claude

local unread, senders, fresh, fresh_senders = 0, {}, {}, {}
if redis.call('EXISTS', inbox) == 1 then
  expire(inbox, leases, index, events, agent, ttl_ms, now)
  unread = available(inbox, leases, now)
  if unread > 0 then
    senders = select(2, waiting(inbox, leases, '0-0', 50, now))
    fresh, fresh_senders = waiting(inbox, leases, record.mail or '0-0', 100, now)
  end
end
local last, first = feed_bounds(broadcasts, feed, now, ttl_ms)
local _, seen = load_cursor(cursors, agent)
local behind = math.max(seen or 0, first - 1)
local unseen, unheard = math.max(0, last - behind), math.max(0, last - math.max(behind, record.feed or 0))
local was_greeted = record.greeted and 1 or 0

if told ~= '' then
  local newest = redis.call('XREVRANGE', inbox, '+', '-', 'COUNT', 1)[1]
  record.mail = newest and newest[1] or record.mail
  if told == 'all' then record.feed = last end
  record.greeted = record.greeted or greeted or nil
  local marked = {}
  for _, id in ipairs(how ~= '' and fresh or {}) do
    local entry = load_entry(index, id)
    if entry and not entry.h then
      entry.h, entry.ht = how, now
      save_entry(index, id, entry)
      marked[#marked + 1] = id
    end
  end
  if #marked > 0 then emit(events, 'msg_notified', 'ids', cjson.encode(marked), 'to', agent, 'how', how) end
  record.at = (record.at or 0) + 3600000 > now and record.at or now -- else nothing new would be written each time
  local changed = cjson.encode(record)
  if changed ~= stored then redis.call('HSET', sessions, process, changed) end
end
local ids = #fresh > 0 and cjson.encode(fresh) or '[]'
return { 'ok', unread, unseen, senders, #fresh, unheard, fresh_senders, ids, was_greeted }
