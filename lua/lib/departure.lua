-- departures: the agents that went offline, each with the time in its ID; about the last hundred are kept
local function go_offline(events, departures, agent, record, session)
  emit(events, 'agent_offline', 'agent', agent, 'session', session)
  if not record.human then redis.call('XADD', departures, 'MAXLEN', '~', 100, '*', 'agent', agent) end
end
