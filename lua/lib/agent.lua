-- agents: a name -> '@present name, ms since' for an alias, else a JSON record
-- record: since, seen (ms; seen 0: only written to), reads (has it ever read), sessions, aliases
local function alias_of(agents, name)
  local value = redis.call('HGET', agents, name)
  if value and string.sub(value, 1, 1) == '@' then
    local target, since = string.match(value, '^@(%S+) (%d+)$')
    return target, tonumber(since)
  end
  return nil
end

local function load_agent(agents, name)
  local value = redis.call('HGET', agents, name)
  if value and string.sub(value, 1, 1) ~= '@' then return cjson.decode(value) end
  return nil
end

local function save_agent(agents, name, record)
  -- cjson writes an empty list as {}: leave it out
  if record.sessions and #record.sessions == 0 then record.sessions = nil end
  if record.aliases and #record.aliases == 0 then record.aliases = nil end
  redis.call('HSET', agents, name, cjson.encode(record))
end

local function without(list, item)
  local kept = {}
  for _, each in ipairs(list or {}) do
    if each ~= item then kept[#kept + 1] = each end
  end
  return kept
end

local function live_sessions(presence, record, now)
  local count = 0
  for _, session in ipairs(record and record.sessions or {}) do
    local till = redis.call('ZSCORE', presence, session)
    if till and tonumber(till) > now then count = count + 1 end
  end
  return count
end
