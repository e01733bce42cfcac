#!lua flags=allow-oom
--[[ done: mark messages of a person as done; those that were not opened yet count as seen.
Atomic because a message must leave the inbox and the open ones in one step.
KEYS     inbox     stream   {po}:inbox4:<agent>
         leases    zset     {po}:leases:<agent>
         index     hash     {po}:index:<agent>
         open      hash     {po}:open:<agent>
         events    stream   {po}:events3
         agents    hash     {po}:agents
ARGV     agent     whose inbox: the person's present name, or `human`
         reader    the person's present name
         ids       JSON array of message ids
RETURNS  ok, ids that are done now or were before, unknown ids
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
local opened, ended, done, unknown = {}, {}, {}, {}
for _, id in ipairs(cjson.decode(ids)) do
  local record, holder = open_message(keys, id, reader, now)
  if record then opened[#opened + 1] = id end
  if redis.call('HDEL', open, id) == 1 or record then ended[#ended + 1] = id end
  local list = holder and done or unknown
  list[#list + 1] = id
end
emit_opened(events, opened, agent, reader)
if #ended > 0 then emit(events, 'msg_done', 'ids', cjson.encode(ended), 'to', agent, 'reader', reader) end
return { 'ok', done, unknown }
