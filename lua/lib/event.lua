-- at most about 10,000 events are kept: by age alone a quiet day after a busy one would keep a million
local function emit(events, kind, ...)
  redis.call('XADD', events, 'MAXLEN', '~', 10000, '*', 'type', kind, ...)
end
