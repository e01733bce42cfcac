-- what the digest is of: id, sender, body. How it was sent and how long it is do not count, as far as the form tells
local function content_of(packed)
  local names, flags, rest = string.match(packed, '^(%S+ %S+) (%S+) %S+ (.*)$')
  return names and names .. ' ' .. #flags .. ' ' .. rest
end

-- the record of an id that was accepted before, where the digest is lost: with that of `message` if the inbox or the
-- dead letters have just that under the id, so that a retry is known as one; nil if neither has the id
local function identified(inbox, dead, index, id, message, digest)
  local entry = load_entry(index, id) or recovered(inbox, dead, id)
  local fields = entry and (fields_at(inbox, entry.s) or dead and fields_at(dead, entry.s))
  local packed = fields and field(fields, 'm')
  if entry and not dead then entry.st = 'acked' end -- as all broadcasts are
  local content = packed and content_of(string.match(packed, '^%S+ %S+ (.*)$') or '')
  if content and content == content_of(message) then
    entry.d = digest
    save_entry(index, id, entry)
  end
  return entry
end
