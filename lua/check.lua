#!lua flags=allow-oom
--[[ check: count what waits for an agent.
Atomic because the counts must be of one moment. Expired messages are ended first, at most 100, and never counted
among the oldest 1000.
KEYS     events      stream   {po}:events3
         agents      hash     {po}:agents
         broadcasts  stream   {po}:broadcasts4
         feed        hash     {po}:feed
         cursors     hash     {po}:cursors
         presence    zset     {po}:presence
         sessions    hash     {po}:sessions
         notices     hash     {po}:notices
EACH     inbox       stream   {po}:inbox4:<agent>
         leases      zset     {po}:leases:<agent>
         index       hash     {po}:index:<agent>
         dead        stream   {po}:dead4:<agent>
ARGV     agent       the present name
         ttl_ms      time to live
         session     the session that must act as the agent, or ''
         max_dead    most dead letters stored
RETURNS  one text of: ok, messages a read could return now, unseen broadcasts
         alias, present name
         acts as, its agent, or unknown: the session does not act as it should, see lib/acting.lua
ERRORS   NONE
TIME     O(log n) in the messages of each agent
]]
local agents = KEYS[2]
local now = now_ms()

local function check(keys, args) -- seldom used keys go by their number, see send.lua
  local inbox, leases, index, dead = unpack(KEYS, keys + 1, keys + 4)
  local agent, ttl_ms, session, max_dead = unpack(ARGV, args + 1, args + 4)
  ttl_ms = tonumber(ttl_ms)
  local stored = redis.call('HGET', agents, agent)
  if not stored or string.sub(stored, 1, 1) == '@' then
    --@include lib/agent
    local target = alias_of(agents, agent)
    if target then return { 'alias', target } end
    stored = ''
  end
  if session ~= '' then
    --@include lib/acting
    local wrong = not_acting_as(agents, KEYS[6], KEYS[7], session, agent, now)
    if wrong then return wrong end
  end
  local mail_ttl_ms, left = ttl_ms, 0
  if agent == 'human' or string.find(stored, '"human":true', 1, true) then
    --@include lib/people
    mail_ttl_ms = person_ttl(ttl_ms)
  end
  if #redis.call('XRANGE', inbox, '-', digits(now - mail_ttl_ms), 'COUNT', 1) > 0 then
    --@include lib/expire
    local keys = { inbox = inbox, leases = leases, index = index, dead = dead, events = KEYS[1], agents = agents,
      notices = KEYS[8] }
    left = select(2, expire(keys, agent, mail_ttl_ms, now, tonumber(max_dead)))
  end
  local last, first = broadcast_bounds(KEYS[3], KEYS[4], now, ttl_ms)
  local _, seen = load_cursor(KEYS[5], agent, last)
  return 'ok ' .. available(inbox, leases, now) - left .. ' ' .. math.max(0, last - math.max(seen or 0, first - 1))
end

return each_call(8, 4, check)
