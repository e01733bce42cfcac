-- agents: name -> JSON record, or for an alias '@<present name> <made ms>'
-- record: since (ms), seen (ms; 0: it was only written to), reads (it has read once), sessions, aliases, groups, human (it
--         is a person), given (number of the last broadcast that an answer to it held or counted as missed)
local function alias_of(agents, name)
  local value = redis.call('HGET', agents, name)
  if value and string.sub(value, 1, 1) == '@' then
    local target, made = string.match(value, '^@(%S+) (%d+)$')
    return target, tonumber(made)
  end
  return nil
end

local function load_agent(agents, name)
  local value = redis.call('HGET', agents, name)
  if value and string.sub(value, 1, 1) ~= '@' then return cjson.decode(value) end
  return nil
end

local function save_agent(agents, name, record)
  -- cjson encodes an empty list as {}, so leave it out
  if record.sessions and #record.sessions == 0 then record.sessions = nil end
  if record.aliases and #record.aliases == 0 then record.aliases = nil end
  if record.groups and #record.groups == 0 then record.groups = nil end
  redis.call('HSET', agents, name, cjson.encode(record))
end

local function without(list, item)
  local kept = {}
  for _, each in ipairs(list or {}) do
    if each ~= item then kept[#kept + 1] = each end
  end
  return kept
end

local function add_session(record, session)
  record.sessions = without(record.sessions, session)
  record.sessions[#record.sessions + 1] = session
end
