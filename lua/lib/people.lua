-- people are agents whose record has `human`; `human` itself is the mailbox that each of them may open. Their mail
-- waits for 30 days, or the time to live if that is longer, and does not die of its deliveries
local function is_person(record, name)
  return name == 'human' or (record and record.human) or false
end

local function person_ttl(ttl_ms)
  return math.max(ttl_ms, 30 * 24 * 3600 * 1000)
end

-- the time to live and the most deliveries of mail to an agent
local function bounds_of(agents, agent, ttl_ms, max_deliveries)
  if not is_person(load_agent(agents, agent), agent) then return ttl_ms, max_deliveries end
  return person_ttl(ttl_ms), math.huge
end
