#!lua
--[[ import_agent: restore an agent's record, former names, counter and cursor; one that has joined since stays online.
Atomic because names and cursor must always agree. Repeating changes nothing.
KEYS     agents   hash     {po}:agents
         cursors  hash     {po}:cursors
         inbox    stream   {po}:inbox4:<agent>
         leases   zset     {po}:leases:<agent>
         index    hash     {po}:index:<agent>
         dead     stream   {po}:dead4:<agent>
         open     hash     {po}:open:<agent>
         changes  stream   {po}:changes
ARGV     agent    the name
         line     JSON: since, seen (ms), as lib/agent.lua has them, reads, aliases ([name, ms]), human, seq, cursor
         twins    JSON array of agents without mail here whose names differ from one of these only in case: they are it
RETURNS  ok
ERRORS   NAME_TAKEN  one of the names is a former name of another agent here
TIME     O(n) in the aliases and twins
]]
line = cjson.decode(line)
local names = { agent }
for _, alias in ipairs(line.aliases) do names[#names + 1] = alias[1] end
for _, name in ipairs(names) do
  local owner, made = alias_of(agents, name)
  if owner and made > 0 and (owner ~= agent or name == agent) then
    return redis.error_reply('NAME_TAKEN ' .. name .. ' is a former name of ' .. owner)
  end
end

local record = load_agent(agents, agent)
-- what a forgotten agent of this name has left: its ids
if not record then redis.call('UNLINK', inbox, leases, index, dead, open) end
record = record or {}
for _, twin in ipairs(cjson.decode(twins)) do
  local other = load_agent(agents, twin)
  for _, session in ipairs(other and other.sessions or {}) do add_session(record, session) end
  drop_names(agents, changes, { twin })
  redis.call('HDEL', cursors, twin)
end
local aliases = {}
for _, alias in ipairs(line.aliases) do
  local name, made = alias[1], alias[2]
  local other = load_agent(agents, name)
  for _, session in ipairs(other and other.sessions or {}) do add_session(record, session) end
  for _, former in ipairs(other and other.aliases or {}) do
    local _, since = alias_of(agents, former)
    redis.call('HSET', agents, former, '@' .. agent .. ' ' .. digits(since and since > 0 and since or made))
    aliases[#aliases + 1] = former
  end
  if other then redis.call('HDEL', cursors, name) end
  redis.call('HSET', agents, name, '@' .. agent .. ' ' .. digits(made))
  keep_spelling(agents, name)
  aliases[#aliases + 1] = name
end
for _, former in ipairs(record.aliases or {}) do
  aliases = without(aliases, former)
  aliases[#aliases + 1] = former
end
record.aliases = aliases
if #aliases > 0 then note_changes(changes, aliases) end
record.since = line.since == 0 and record.since or math.min(record.since or line.since, line.since)
record.seen = math.max(record.seen or 0, line.seen)
record.reads = record.reads or line.reads or nil
record.human = record.human or line.human or nil
save_agent(agents, changes, agent, record)
local last = tonumber(redis.call('HGET', index, '#seq') or 0) or 0
if line.seq > last then redis.call('HSET', index, '#seq', line.seq) end
local _, seen = load_cursor(cursors, agent, math.huge) -- the numbers are imported later
local _, wanted = split_cursor(line.cursor)
if wanted and wanted > (seen or -1) then save_cursor(cursors, changes, agent, line.cursor) end
return { 'ok' }
