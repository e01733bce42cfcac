#!lua flags=allow-oom
--[[ mark_given: note up to which broadcast an agent was given, and told what it missed.
Atomic because two sessions of one agent may note it at once. The mark never moves back.
KEYS     agents   hash    {po}:agents
         changes  stream  {po}:changes
ARGV     agent   the present name
         number  of the last broadcast that an answer holds or counts as missed
RETURNS  ok
         alias, present name
ERRORS   NONE
TIME     O(1)
]]
number = tonumber(number)
local target = alias_of(agents, agent)
if target then return { 'alias', target } end
local record = load_reader(agents, agent) or { since = 0, seen = 0 }
if (record.given or 0) >= number then return { 'ok' } end
record.given, record.reads = number, true
save_agent(agents, changes, agent, record)
return { 'ok' }
