#!lua flags=allow-oom
--[[ unnotified: return what waits for the agent of a Claude process, and how much the process was not notified of.
Atomic because the counts must be of one moment. Expired messages are ended first. The notification itself is recorded
by `mark_notified`, once it was shown; this script only records that the process is in use.
KEYS     inbox       stream   {po}:inbox4:<agent>
         leases      zset     {po}:leases:<agent>
         index       hash     {po}:index:<agent>
         events      stream   {po}:events3
         agents      hash     {po}:agents
         broadcasts  stream   {po}:broadcasts4
         feed        hash     {po}:feed
         cursors     hash     {po}:cursors
         sessions    hash     {po}:sessions
         dead        stream   {po}:dead4:<agent>
         notices     hash     {po}:notices
ARGV     agent       the present name, as far as the caller knows
         session     the session whose agent it must be, or ''
         process     the Claude process: host:pid:start
         claude      its Claude session id; of another one than before, nothing was notified
         ttl_ms      time to live
         max_dead    most dead letters stored
RETURNS  ok, unread messages, unseen broadcasts, senders of the unread messages, new messages (those not notified of, or
         returned since), new broadcasts, senders of the new messages, JSON array of their ids, 1 greeted before | 0,
         stream ID of the newest message or '', number of the last broadcast, ms until which what returned is counted
         alias, the present name, or that of the session's agent
ERRORS   NONE
TIME     O(log n) in the messages; examines at most 50 for their senders, 100 new ones and 100 returned ones
]]
local now = now_ms()
ttl_ms = tonumber(ttl_ms)
local known = session ~= '' and load_json(sessions, session)
local present = known and known.agent or agent
present = alias_of(agents, present) or present
if present ~= agent then return { 'alias', present } end
local record, stored = load_process(sessions, agents, process, agent, claude)
if stored and (record.at or 0) + 3600000 < now then -- in use: housekeeping must not forget it
  record.at = now
  save_json(sessions, 'process:' .. process, record)
end

local unread, senders, new, new_senders, newest = 0, {}, {}, {}, nil
if redis.call('EXISTS', inbox) == 1 then
  local keys = { inbox = inbox, leases = leases, index = index, dead = dead, events = events, agents = agents,
    notices = notices }
  local _, left = expire(keys, agent, ttl_ms, now, tonumber(max_dead))
  unread = available(inbox, leases, now) - left
  newest = newest_id(inbox)
  if unread > 0 then
    senders = select(2, waiting(inbox, leases, '0-0', 50, now))
    new, new_senders = waiting(inbox, leases, record.mail or '0-0', 100, now)
    add_returned(inbox, leases, record, now, new, new_senders)
  end
end
local last, first = broadcast_bounds(broadcasts, feed, now, ttl_ms)
local _, seen = load_cursor(cursors, agent, last)
seen = math.max(seen or 0, first - 1)
-- what returns later in this millisecond is to be new to the next notification; where something has returned in it
-- already, the two cannot be told apart
local found = redis.call('ZCOUNT', leases, now, now) > 0 and now or now - 1
local unseen, new_unseen = math.max(0, last - seen), math.max(0, last - math.max(seen, record.feed or 0))
return { 'ok', unread, unseen, senders, #new, new_unseen, new_senders, #new > 0 and cjson.encode(new) or '[]',
  record.greeted and 1 or 0, newest or '', last, digits(found) }
