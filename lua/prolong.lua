#!lua flags=allow-oom
--[[ prolong: keep a connected session online and its running leases alive.
Atomic because a lease that was given back in between must not be revived.
KEYS     inbox       stream   {po}:inbox:<agent>
         leases      zset     {po}:leases:<agent>
         agents      hash     {po}:agents
         presence    zset     {po}:presence
         sessions    hash     {po}:sessions
         events      stream   {po}:events
ARGV     agent       the session's agent
         session     session id
         generation  of the connection
         online_ms   how long one sign of life lasts
         lease_ms    length of a lease
RETURNS  ok, number of leases prolonged
         alias, the session's present agent
         gone, 0: the session is unknown, a later connection has it, or it has to join anew
ERRORS   NONE
TIME     O(n) in the messages held
]]
--@include lib/now
--@include lib/event
--@include lib/agent
--@include lib/shown
--@include lib/derived
local inbox, leases, agents, presence, sessions, events = unpack(KEYS)
local agent, session, generation = ARGV[1], ARGV[2], tonumber(ARGV[3])
local online_ms, lease_ms = tonumber(ARGV[4]), tonumber(ARGV[5])
local known = redis.call('HGET', sessions, session)
known = known and cjson.decode(known)
if not known or known.gen ~= generation then return { 'gone', 0 } end
if known.agent ~= agent then return { 'alias', known.agent } end
local now, count = now_ms(), 0
local record = load_agent(agents, agent) or { since = now }
local before = shown_sessions(presence, record)
local till = redis.call('ZSCORE', presence, session)
if known.derived == 1 and not (till and tonumber(till) > now)
  and derived_by_another(agents, presence, sessions, agent, session, now) then
  -- it slept, and its name has gone to another: it has to join anew
  redis.call('ZREM', presence, session)
  redis.call('HDEL', sessions, session)
  record.sessions = without(record.sessions, session)
  save_agent(agents, agent, record)
  return { 'gone', 0 }
end
redis.call('ZADD', presence, now + online_ms, session)
record.sessions = without(record.sessions, session)
record.sessions[#record.sessions + 1] = session
record.seen = now
save_agent(agents, agent, record)
if known.left then
  -- it was taken for gone; housekeeping must not forget it later
  known.left = nil
  redis.call('HSET', sessions, session, cjson.encode(known))
end
if before == 0 then emit(events, 'agent_online', 'agent', agent, 'session', session) end
if redis.call('EXISTS', inbox) == 1 then
  local held = redis.pcall('XPENDING', inbox, 'agents', '-', '+', 1000, session)
  for _, pending in ipairs(held.err and {} or held) do
    local till = redis.call('ZSCORE', leases, pending[1])
    if till and tonumber(till) > now then
      redis.call('ZADD', leases, now + lease_ms, pending[1])
      count = count + 1
    end
  end
end
return { 'ok', count }
