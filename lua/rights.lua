#!lua flags=allow-oom
--[[ rights: tell which commands this user may not call or this server does not have.
Atomic because it is one question. Every call is made so that it fails or changes nothing.
KEYS     probe     hash   {po}:probe, which never exists
ARGV     commands  JSON array of [name, arguments...], '?' for the key
RETURNS  [name, the server's reason, ...] of those that cannot be called
ERRORS   NONE
TIME     O(1)
]]
local probe = KEYS[1]
local missing = {}
for _, command in ipairs(cjson.decode(ARGV[1])) do
  local name = table.remove(command, 1)
  for at, word in ipairs(command) do
    if word == '?' then command[at] = probe end
  end
  local reply = redis.pcall(unpack(command))
  local reason = type(reply) == 'table' and reply.err or ''
  if string.find(reason, 'ermission') or string.find(reason, "an't run") or string.find(reason, "an't access")
    or string.find(reason, 'called from script') then
    missing[#missing + 1], missing[#missing + 2] = name, reason
  end
end
return missing
