#!lua
--[[ group_join: make an agent a member of a group, which exists from its first member on.
Atomic because the group and the record of the agent must agree. Repeating changes nothing.
KEYS     agents       hash     {po}:agents
         groups       hash     {po}:groups
         events       stream   {po}:events3
         changes      stream   {po}:changes
ARGV     agent        the present name
         group        the group's name in lower case
         title        the group's name as the caller writes it; the first member's way is kept
         max_members  most members of a group
         max_groups   most groups of an agent
RETURNS  ok, the group's name, number of members, 1 joined | 0 it was a member, 1 known agent | 0 one that never acted
         alias, present name
ERRORS   GROUP_FULL   the group has `max_members` members, or the agent is in `max_groups` groups
TIME     O(n) in the members
]]
local target = alias_of(agents, agent)
if target then return { 'alias', target } end
local now = now_ms()
local found = load_group(groups, group) or { name = title, since = now, members = {} }
local record = agent_from(agents, agent, now)
local known = (record.seen or 0) > 0 and 1 or 0
local others = without(found.members, agent)
if #others < #found.members then return { 'ok', found.name, #found.members, 0, known } end
if #others >= tonumber(max_members) then
  return redis.error_reply('GROUP_FULL #' .. found.name .. ' already has ' .. max_members .. ' members')
end
record.groups = without(record.groups, group)
if #record.groups >= tonumber(max_groups) then
  return redis.error_reply('GROUP_FULL ' .. agent .. ' is already in ' .. max_groups .. ' groups')
end
record.groups[#record.groups + 1] = group
others[#others + 1] = agent
found.members = others
save_group(groups, group, found)
save_agent(agents, changes, agent, record)
emit(events, 'group_join', 'group', found.name, 'agent', agent)
return { 'ok', found.name, #others, 1, known }
