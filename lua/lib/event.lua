-- at most about 10,000 events are kept: by age alone a quiet day after a busy one would keep a million
-- an event is the field e of its entry, in lines: its type, and in turn a name and a value. In format 2 each was a
-- field, which costs twice as much
local function emit(events, ...)
  local entry = redis.call('XADD', events, '*', 'e', table.concat({ ... }, '\n'))
  -- one in ten, or of many in one ms one in a hundred: MAXLEN in each would stand in the append-only file as well
  if string.find(entry, '0%-?0$', -3) then redis.call('XTRIM', events, 'MAXLEN', '~', 10000) end
end
