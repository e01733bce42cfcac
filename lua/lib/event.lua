-- at most about 10,000 events are kept: by age alone a quiet day after a busy one would keep a million
-- an event is the field e of its entry, in lines: its type, and in turn a name and a value. In format 2 each was a field,
-- which costs twice as much
local function emit(events, ...)
  redis.call('XADD', events, 'MAXLEN', '~', 10000, '*', 'e', table.concat({ ... }, '\n'))
end
