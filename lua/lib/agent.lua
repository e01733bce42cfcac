-- agents: name -> JSON record, or for an alias '@<present name> <made ms>'
-- record: since (ms; 0: somebody has only read under this name, which makes nobody known), seen (ms; 0: it has not
--         acted), reads (it has read once), sessions, aliases, groups, human (it is a person), given (number of the
--         last broadcast that an answer to it held or counted as missed)
-- changes: names whose record, alias or cursor has changed, newest last, so that a daemon that has read all names reads
--          those alone again; only what lists of names are made of counts, not the time of the last sign of life
-- names that differ only in case are one: the first spelling is the agent's, and if it has capitals, its lower case
-- leads to it, as '@<spelling> 0'. Two agents of older data that differ only in case stay two; other spellings are then
-- the lower case one

local loaded = {} -- records as they are stored, by name

local function note_changes(changes, names)
  redis.call('XADD', changes, 'MAXLEN', '~', 1000, '*', 'n', table.concat(names, ' '))
end

local function without(list, item)
  local kept = {}
  for _, each in ipairs(list or {}) do
    if each ~= item then kept[#kept + 1] = each end
  end
  return kept
end

-- what lists are made of
local function listed_of(record)
  local sessions = without(record.sessions)
  table.sort(sessions)
  local acted, human = (record.seen or 0) > 0, record.human or false
  return cjson.encode({ record.since ~= 0, acted, human, sessions, record.aliases or {} })
end

-- the name that the hash has for a name in any case, and its value; nil if it has none
local function spelling_of(agents, name)
  local value = redis.call('HGET', agents, name)
  if not value then
    local lower = string.lower(name)
    value = lower ~= name and redis.call('HGET', agents, lower)
    if not value then return nil end
    name = lower
  end
  local spelling = string.match(value, '^@(%S+) 0$')
  if not spelling then return name, value end
  value = redis.call('HGET', agents, spelling)
  if value then return spelling, value end
  return nil
end

-- the present name of the agent that has `name` as a former name or in another case, and since when in ms; nil if it is
-- the present name itself, or nobody's
local function alias_of(agents, name)
  local spelling, value = spelling_of(agents, name)
  if not spelling then return nil end
  if string.sub(value, 1, 1) == '@' then
    local target, made = string.match(value, '^@(%S+) (%d+)$')
    return target, tonumber(made)
  end
  if spelling ~= name then return spelling, 0 end
  return nil
end

-- let the lower case of a name lead to it, unless it is another's; return whether that is new
local function keep_spelling(agents, name)
  local lower = string.lower(name)
  if lower == name or spelling_of(agents, lower) then return false end
  return redis.call('HSET', agents, lower, '@' .. name .. ' 0') == 1
end

local function drop_names(agents, changes, names)
  if #(names or {}) > 0 then note_changes(changes, names) end
  for _, name in ipairs(names or {}) do
    redis.call('HDEL', agents, name)
    local lower = string.lower(name)
    if redis.call('HGET', agents, lower) == '@' .. name .. ' 0' then redis.call('HDEL', agents, lower) end
  end
end

-- the record that a value is; of one that a disk has altered, one of an agent of which no more is known
local function record_of(name, value)
  loaded[name] = value
  local sound, record = pcall(cjson.decode, value)
  sound = sound and type(record) == 'table' and type(record.since) == 'number' and type(record.seen or 0) == 'number'
  for _, list in ipairs({ 'sessions', 'aliases', 'groups' }) do
    sound = sound and (record[list] == nil or type(record[list]) == 'table')
  end
  if not sound then -- of a person an agent's mail would expire sooner
    return { since = 1, seen = 1, human = string.find(value, '"human":true', 1, true) and true or nil }
  end
  record.seen = record.seen or 0
  return record
end

-- the record of what somebody who reads under a name has read, nil if nobody has
local function load_reader(agents, name)
  local value = redis.call('HGET', agents, name)
  if value and string.sub(value, 1, 1) ~= '@' then return record_of(name, value) end
  return nil
end

-- the record of an agent, nil if there is none or somebody has only read under its name
local function load_agent(agents, name)
  local record = load_reader(agents, name)
  return record and record.since ~= 0 and record or nil
end

-- the record of an agent, which begins to be one `now` if it is none yet
local function agent_from(agents, name, now)
  local record = load_reader(agents, name) or { since = 0, seen = 0, human = name == 'human' or nil }
  if record.since == 0 then record.since = now end
  return record
end

local function save_agent(agents, changes, name, record)
  -- cjson encodes an empty list as {}, so leave it out
  if record.sessions and #record.sessions == 0 then record.sessions = nil end
  if record.aliases and #record.aliases == 0 then record.aliases = nil end
  if record.groups and #record.groups == 0 then record.groups = nil end
  local before = loaded[name] and listed_of(record_of(name, loaded[name]))
  loaded[name] = cjson.encode(record)
  redis.call('HSET', agents, name, loaded[name])
  keep_spelling(agents, name)
  if before ~= listed_of(record) then note_changes(changes, { name }) end
end

local function add_session(record, session)
  record.sessions = without(record.sessions, session)
  record.sessions[#record.sessions + 1] = session
end
