#!lua flags=no-writes
--[[ event_bounds: tell which events are kept: those of the stream of events, and the history, whose entries are events.
Atomic because the bounds of both streams must be of one moment.
KEYS     events   stream   {po}:events3
         history  stream   {po}:history
ARGV     NONE
RETURNS  of the events and then of the history: the oldest ID stored | '', the newest ID that it ever had | 0-0, number
           of entries that it has lost
ERRORS   NONE
TIME     O(1)
]]
local reply = {}
for _, stream in ipairs({ events, history }) do
  local first, newest, lost = '', '0-0', 0
  if redis.call('EXISTS', stream) == 1 then
    local known = redis.call('XINFO', 'STREAM', stream)
    local oldest = field(known, 'first-entry')
    first = oldest and oldest[1] or ''
    newest, lost = field(known, 'last-generated-id'), field(known, 'entries-added') - field(known, 'length')
  end
  for _, value in ipairs({ first, newest, lost }) do reply[#reply + 1] = value end
end
return reply
