#!lua flags=allow-oom
--[[ rights: tell which commands and keys this user may not use, and which commands this server does not have.
Atomic because it is one question. Every call is made so that it fails or changes nothing.
KEYS     probe     hash   {po}:probe, which never exists
ARGV     commands  JSON array of [name, arguments...], '?' for the key
         keys      JSON array of key names
RETURNS  [name, the server's reason, ...] of the commands that cannot be called; [key, 'key', ...] of the keys that
           cannot be read and written
ERRORS   NONE
TIME     O(1)
]]
local missing = {}
for _, command in ipairs(cjson.decode(commands)) do
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
for _, key in ipairs(cjson.decode(keys)) do
  local answered, allowed = pcall(redis.acl_check_cmd, 'COPY', key, key) -- which reads one key and writes the other
  if answered and not allowed then missing[#missing + 1], missing[#missing + 2] = key, 'key' end
end
return missing
