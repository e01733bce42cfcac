#!lua flags=allow-oom
--[[ note_act: note that a person has acted now, such as by a command. An agent stays as it is: its sessions show it.
Atomic because the person's record holds more than that.
KEYS     agents   hash    {po}:agents
         changes  stream  {po}:changes
ARGV     agent   the present name
RETURNS  ok
         alias, present name
ERRORS   NONE
TIME     O(1)
]]
local target = alias_of(agents, agent)
if target then return { 'alias', target } end
local record = load_agent(agents, agent)
if not record or not record.human or agent == 'human' then return { 'ok' } end
record.seen = now_ms()
save_agent(agents, changes, agent, record)
return { 'ok' }
