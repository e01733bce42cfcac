#!lua flags=allow-oom
--[[ group_leave: take an agent out of a group, which ends with its last member.
Atomic because the group and the record of the agent must agree. Repeating changes nothing.
KEYS     agents   hash     {po}:agents
         groups   hash     {po}:groups
         events   stream   {po}:events3
         changes  stream   {po}:changes
ARGV     agent    the present name
         group    the group's name in lower case
RETURNS  ok, the group's name or '', number of members that are left, 1 left | 0 it was no member
         alias, present name
ERRORS   NONE
TIME     O(n) in the members
]]
local target = alias_of(agents, agent)
if target then return { 'alias', target } end
local found = load_group(groups, group)
if not found then return { 'ok', '', 0, 0 } end
local others = without(found.members, agent)
if #others == #found.members then return { 'ok', found.name, #others, 0 } end
found.members = others
save_group(groups, group, found)
local record = load_agent(agents, agent)
if record then
  record.groups = without(record.groups, group)
  save_agent(agents, changes, agent, record)
end
emit(events, 'group_leave', 'group', found.name, 'agent', agent)
return { 'ok', found.name, #others, 1 }
