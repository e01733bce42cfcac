#!lua flags=allow-oom
--[[ seen: open messages as a person: they leave the inbox, and are open until they are answered or done.
Atomic because of two people only one may take a message of the mailbox `human`, and none may be lost on the way.
KEYS     inbox     stream   {po}:inbox4:<agent>
         leases    zset     {po}:leases:<agent>
         index     hash     {po}:index:<agent>
         open      hash     {po}:open:<agent>
         events    stream   {po}:events3
         agents    hash     {po}:agents
ARGV     agent     whose inbox: the person's present name, or `human`
         reader    the person's present name
         ids       JSON array of message ids
RETURNS  ok, ids that the person has opened now or before, names of others and the id that each has taken, unknown ids
         alias, present name
ERRORS   UNKNOWN_AGENT  the inbox is no person's
TIME     O(n) in the ids
]]
local keys = { inbox = inbox, leases = leases, index = index, open = open, agents = agents }
local target = alias_of(agents, agent)
if target then return { 'alias', target } end
if not is_person(load_agent(agents, agent), agent) then
  return redis.error_reply('UNKNOWN_AGENT there is no person named ' .. agent)
end
local now = now_ms()
local opened, seen, taken, unknown = {}, {}, {}, {}
for _, id in ipairs(cjson.decode(ids)) do
  local record, holder = open_message(keys, id, reader, now)
  if record then
    redis.call('HSET', open, id, cjson.encode(record))
    opened[#opened + 1] = id
  end
  if holder == reader then
    seen[#seen + 1] = id
  elseif holder then
    taken[#taken + 1], taken[#taken + 2] = holder, id
  else
    unknown[#unknown + 1] = id
  end
end
emit_opened(events, opened, agent, reader)
return { 'ok', seen, taken, unknown }
