#!lua flags=allow-oom
--[[ person: make a name that of a person. Repeating changes nothing.
Atomic because a session that starts at once must not take the name as well.
KEYS     agents    hash     {po}:agents
         presence  zset     {po}:presence
         changes   stream   {po}:changes
ARGV     agent     the present name
         chosen    '1': somebody chose this name for the person, so that an agent of that name which is away gives way
RETURNS  ok
         alias, present name
ERRORS   NAME_TAKEN  it is the name of an agent
TIME     O(n) in the sessions of the agent
]]
local now = now_ms()
local target = alias_of(agents, agent)
if target then return { 'alias', target } end
local record = agent_from(agents, agent, now)
if record.human then return { 'ok' } end
local beats = false -- over HTTP, as the page of a person does whose store was emptied
for _, session in ipairs(record.sessions or {}) do
  if string.sub(session, 1, 5) == 'http:' then
    beats = true
  elseif lasts(presence, session, now) then
    return redis.error_reply('NAME_TAKEN ' .. agent .. ' is an agent that is online')
  end
end
-- one that was only written to, or put into a group by others, has never acted
local acted = (record.seen or 0) > 0 and (record.groups or not beats)
if (record.reads or acted) and chosen ~= '1' then return redis.error_reply('NAME_TAKEN ' .. agent .. ' is an agent') end
record.human = true
save_agent(agents, changes, agent, record)
return { 'ok' }
