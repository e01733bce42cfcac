#!lua flags=allow-oom
--[[ mark_notified: record what a Claude process was notified of, as `unnotified` found it.
Atomic because two notifications of one process at once must not set back each other's record. Repeating it changes
nothing.
KEYS     index     hash     {po}:index:<agent>
         events    stream   {po}:events3
         agents    hash     {po}:agents
         sessions  hash     {po}:sessions
ARGV     agent     the agent that the notification was for
         process   the Claude process: host:pid:start
         claude    its Claude session id
         newest    stream ID of the newest message found, or ''
         last      number of the last broadcast found, or '' if the notification was not about broadcasts
         found_ms  until when what returned was found
         greeted   '1': the notification named the agent
         how       how the messages were notified, recorded in their state; or ''
         ids       JSON array of the new messages
RETURNS  ok
         alias, present name
ERRORS   NONE
TIME     O(n) in the ids
]]
local target = alias_of(agents, agent)
if target then return { 'alias', target } end
local record, stored = load_process(sessions, agents, process, agent, claude)

if newest ~= '' and not (record.mail and id_before(newest, record.mail)) then record.mail = newest end
record.found = math.max(record.found or 0, tonumber(found_ms))
if last ~= '' then record.feed = math.max(record.feed or 0, tonumber(last)) end
record.greeted = record.greeted or greeted == '1' or nil

local now, marked = now_ms(), {}
for _, id in ipairs(how ~= '' and cjson.decode(ids) or {}) do
  local entry = load_entry(index, id)
  if entry and not entry.h then
    entry.h, entry.ht = how, now
    save_entry(index, id, entry)
    marked[#marked + 1] = id
  end
end
if #marked > 0 then emit(events, 'msg_notified', 'ids', cjson.encode(marked), 'to', agent, 'how', how) end
record.at = now
local changed = cjson.encode(record)
if changed ~= stored then redis.call('HSET', sessions, 'process:' .. process, changed) end
return { 'ok' }
