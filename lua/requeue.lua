#!lua
--[[ requeue: move dead letters to the tail of their inbox, with a delivery count of zero and a new time to live.
Atomic because a letter must be in exactly one of the two streams. Bounded: without ids, 100 letters per call.
KEYS     inbox      stream   {po}:inbox4:<agent>
         index      hash     {po}:index:<agent>
         dead       stream   {po}:dead4:<agent>
         events     stream   {po}:events3
         agents     hash     {po}:agents
         meta       hash     {po}:meta
ARGV     agent      the present name
         ids        JSON array of message ids, or '' for all
         till       for all: move up to this stream ID, which the previous call returned; '+' in the first call
         max_inbox  most unacknowledged messages
RETURNS  ok, requeued ids, stream ID up to which more remain or ''
         alias, present name
ERRORS   INBOX_FULL       nothing was moved
         IMPORTING        nothing was moved
         WRONG_STORE      nothing was moved
         UNKNOWN_MESSAGE  an id is not among the dead letters; nothing was moved
TIME     O(n) in the letters moved
]]
local target = alias_of(agents, agent)
if target then return { 'alias', target } end
local refusal = importing(meta)
if refusal then return refusal end
local letters, needed = {}, nil
if ids == '' then
  letters = redis.call('XRANGE', dead, '-', till, 'COUNT', 100)
  if till == '+' then till, needed = newest_id(dead), redis.call('XLEN', dead) end
else
  till = nil
  for _, id in ipairs(cjson.decode(ids)) do
    local entry = load_entry(index, id)
    local fields = entry and (entry.st == 'dead' or entry.st == 'expired') and fields_at(dead, entry.s)
    if not fields then -- its record may have been altered
      entry = recovered(nil, dead, id)
      fields = entry and fields_at(dead, entry.s)
    end
    if not fields then return redis.error_reply('UNKNOWN_MESSAGE ' .. id .. ' is not a dead letter of ' .. agent) end
    letters[#letters + 1] = { entry.s, fields }
  end
end
needed = needed or #letters
if redis.call('XLEN', inbox) + needed > tonumber(max_inbox) then
  return redis.error_reply('INBOX_FULL ' .. agent .. ' cannot take ' .. needed .. ' more messages; it holds at most '
    .. max_inbox)
end
local added = { reason = true, deliveries = true, died = true }
local moved = {}
for _, letter in ipairs(letters) do
  local fields, id = {}, message_of(letter[2])
  -- built before anything moves, because a script that fails half way does not roll back
  local entry = load_entry(index, id) or rebuilt(letter[1], letter[2])
  -- an id named twice is moved once
  if redis.call('XDEL', dead, letter[1]) == 1 then
    for at = 1, #letter[2], 2 do
      if not added[letter[2][at]] then
        fields[#fields + 1], fields[#fields + 2] = letter[2][at], letter[2][at + 1]
      end
    end
    entry.s = redis.call('XADD', inbox, '*', unpack(fields))
    entry.st, entry.n, entry.r, entry.l, entry.e, entry.w = 'queued', 0, nil, nil, nil, nil
    entry.a = entry.a or (tonumber(field(letter[2], 'deliveries')) or 1) > 0 or nil
    save_entry(index, id, entry)
    moved[#moved + 1] = id
  end
end
if #moved > 0 then emit(events, 'msg_requeue', 'ids', cjson.encode(moved), 'to', agent) end
return { 'ok', moved, till and remainder(dead, till) or '' }
