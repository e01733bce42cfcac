#!lua flags=no-writes
--[[ describe: return what lists of agents show of some of them.
Atomic because who is online, and what waits, must be of one moment; and one call costs less than eight for each agent.
KEYS     agents    hash     {po}:agents
         presence  zset     {po}:presence
         sessions  hash     {po}:sessions; behind it, of each name, inbox, leases, dead
ARGV     names     JSON array of present names, whose keys these are
RETURNS  of each name its record, or '' if it is no agent's present name; which of the record's sessions are online, as
         1 and 0; the record of the latest of these, else of the latest session, or ''; messages in the inbox, the
         stream ID of the oldest or '', how many are or were leased, and of how many that has ended; dead letters
ERRORS   NONE
TIME     O(n) in the names and their sessions
]]
local now, found = now_ms(), {}
for at, name in ipairs(cjson.decode(names)) do
  local inbox, leases, dead = unpack(KEYS, at * 3 + 1, at * 3 + 3)
  local record, online, latest = load_agent(agents, name), {}, nil
  for number, session in ipairs(record and record.sessions or {}) do
    online[number] = lasts(presence, session, now) and '1' or '0'
    if online[number] == '1' then latest = session end
  end
  latest = latest or record and record.sessions and record.sessions[#record.sessions]
  local oldest = redis.call('XRANGE', inbox, '-', '+', 'COUNT', 1)[1]
  for _, each in ipairs({ record and loaded[name] or '', table.concat(online),
    latest and redis.call('HGET', sessions, latest) or '', redis.call('XLEN', inbox), oldest and oldest[1] or '',
    redis.call('ZCARD', leases), redis.call('ZCOUNT', leases, '-inf', now), redis.call('XLEN', dead) }) do
    found[#found + 1] = each
  end
end
return found
