#!lua flags=allow-oom
--[[ bury: move a message that was altered on disk to the dead letters, instead of giving it out.
Atomic because the message must leave the inbox and become a dead letter in one step.
KEYS     inbox      stream   {po}:inbox4:<agent>
         leases     zset     {po}:leases:<agent>
         index      hash     {po}:index:<agent>
         dead       stream   {po}:dead4:<agent>
         events     stream   {po}:events3
         agents     hash     {po}:agents
         notices    hash     {po}:notices
ARGV     agent      the reader's present name
         stream_id  of the message
         fields     JSON array of its flat fields, for one that has left the inbox already
         max_dead   most dead letters stored
RETURNS  ok, 1 moved | 0 it had been moved before
         alias, present name
ERRORS   NONE
TIME     O(1)
]]
local keys = { inbox = inbox, leases = leases, index = index, dead = dead, events = events, agents = agents,
  notices = notices }
local target = alias_of(agents, agent)
if target then return { 'alias', target } end
local waiting = fields_at(inbox, stream_id)
fields = waiting or cjson.decode(fields)
if not waiting then -- acknowledged when it was read; or another read has moved it, and maybe it was requeued since
  local entry = load_entry(index, message_of(fields))
  local there = entry and (fields_at(dead, entry.s) or fields_at(inbox, entry.s))
  local message = field(fields, 'm')
  if there and message and field(there, 'm') == message then return { 'ok', 0 } end
end
-- by its place it can be requeued
if message_of(fields) == '' then fields[#fields + 1], fields[#fields + 2] = 'id', stream_id end
local _, deliveries = delivery_of(inbox, stream_id)
move_to_dead(keys, agent, stream_id, fields, deliveries, now_ms(), tonumber(max_dead), 'altered')
return { 'ok', 1 }
