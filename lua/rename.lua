#!lua
--[[ rename: move an agent with all it has to another name, and keep the old name as an alias.
Atomic because mail, cursor, sessions and names must always agree. A fixed number of RENAMEs.
KEYS     inbox      stream   {po}:inbox4:<old>
         leases     zset     {po}:leases:<old>
         index      hash     {po}:index:<old>
         dead       stream   {po}:dead4:<old>
         open       hash     {po}:open:<old>
         inbox_to   stream   {po}:inbox4:<new>
         leases_to  zset     {po}:leases:<new>
         index_to   hash     {po}:index:<new>
         dead_to    stream   {po}:dead4:<new>
         open_to    hash     {po}:open:<new>
         agents     hash     {po}:agents
         cursors    hash     {po}:cursors
         groups     hash     {po}:groups
         presence   zset     {po}:presence
         sessions   hash     {po}:sessions
         events     stream   {po}:events3
         inbox_own  stream   {po}:inbox4:<owner>
         dead_own   stream   {po}:dead4:<owner>
         changes    stream   {po}:changes
ARGV     old        the present name
         new        the new name
         owner      the agent whose alias the new name is, else the new name
         ttl_ms     how long an unused alias stays taken
RETURNS  ok, the new name, JSON array of aliases
         alias, present name
         owner, the agent whose alias the new name is
         spelling, the new name as another agent has it
ERRORS   UNKNOWN_AGENT  nobody has this name
         NAME_TAKEN     the new name is online, has mail, is a person or is an alias in use
         ALIAS_LIMIT    there are 32 aliases, and the oldest is in use
TIME     O(n) in the aliases and sessions of the agent and in the members of its groups
]]
local now = now_ms()
ttl_ms = tonumber(ttl_ms)

local function json_array(list)
  return #(list or {}) > 0 and cjson.encode(list) or '[]'
end

local function mail(inbox, dead)
  return redis.call('XLEN', inbox) + redis.call('XLEN', dead)
end

local target = alias_of(agents, old)
if target and target ~= new then return { 'alias', target } end
local record = load_reader(agents, target or old)
if not record then return redis.error_reply('UNKNOWN_AGENT there is no agent named ' .. old) end
if target or old == new then return { 'ok', new, json_array(record.aliases) } end

local spelling = spelling_of(agents, new)
if spelling and spelling ~= new and (alias_of(agents, spelling) or spelling) ~= old then
  return { 'spelling', spelling }
end
local holder, since = alias_of(agents, new)
local other = nil
if holder and holder ~= old then
  if holder ~= owner then return { 'owner', holder } end
  other = load_agent(agents, holder)
  local spelled = string.lower(holder) == string.lower(new) -- a former case of its name can be nobody else's
  if other and (spelled or live_sessions(presence, other, now) > 0 or since + ttl_ms > now
    or mail(inbox_own, dead_own) > 0) then
    return redis.error_reply('NAME_TAKEN ' .. new .. ' is a former name of ' .. holder)
  end
elseif not holder then
  other = load_agent(agents, new)
  if live_sessions(presence, other, now) > 0 then return redis.error_reply('NAME_TAKEN ' .. new .. ' is online') end
  if is_person(other, new) then return redis.error_reply('NAME_TAKEN ' .. new .. ' is a person') end
  local count = mail(inbox_to, dead_to)
  if count > 0 then return redis.error_reply('NAME_TAKEN ' .. new .. ' has mail: ' .. count) end
end
local aliases = without(record.aliases, new)
local unused = nil
if #aliases >= 32 and live_sessions(presence, record, now) == 0 and mail(inbox, dead) == 0 then
  local _, made = alias_of(agents, aliases[1]) -- the oldest is dropped if another agent could take it as well
  if (made or 0) + ttl_ms <= now then unused = table.remove(aliases, 1) end
end
if #aliases >= 32 then return redis.error_reply('ALIAS_LIMIT ' .. old .. ' already keeps 32 former names') end

if other and holder then
  other.aliases = without(other.aliases, new)
  save_agent(agents, changes, holder, other)
elseif other then
  drop_names(agents, changes, other.aliases)
  for _, group in ipairs(other.groups or {}) do -- those that somebody put the new name into
    record.groups = without(record.groups, group)
    record.groups[#record.groups + 1] = group
  end
end
if unused then drop_names(agents, changes, { unused }) end
aliases[#aliases + 1] = old
for at = 1, 5 do
  if redis.call('EXISTS', KEYS[at]) == 1 then
    redis.call('RENAME', KEYS[at], KEYS[at + 5])
  else
    redis.call('UNLINK', KEYS[at + 5])
  end
end
local cursor = redis.call('HGET', cursors, old)
redis.call('HDEL', cursors, old, new)
if cursor then redis.call('HSET', cursors, new, cursor) end
for _, session in ipairs(record.sessions or {}) do
  local known = load_json(sessions, session)
  if known then
    -- the new name is explicit, so it may be shared from now on
    known.agent, known.derived = new, 0
    save_json(sessions, session, known)
    if known.claude_session then
      save_json(sessions, 'claude:' .. known.claude_session, { agent = new, at = now })
    end
  end
end
record.aliases, record.seen = aliases, now
if record.since == 0 then record.since = now end
redis.call('HDEL', agents, old)
replace_member(groups, record, old, new)
for _, alias in ipairs(aliases) do
  local _, made = alias_of(agents, alias)
  redis.call('HSET', agents, alias, '@' .. new .. ' ' .. digits(made and made > 0 and made or now))
end
note_changes(changes, { new, unpack(aliases) })
save_agent(agents, changes, new, record)
emit(events, 'agent_rename', 'agent', new, 'old', old)
return { 'ok', new, json_array(aliases) }
