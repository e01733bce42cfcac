#!lua flags=allow-oom
--[[ import_end: end an import, finished or not, so that other mail is accepted again. Repeating changes nothing.
Atomic because it is one write.
KEYS     meta  hash  {po}:meta
ARGV     NONE
RETURNS  1 ended | 0 there was none
ERRORS   NONE
TIME     O(1)
]]
return redis.call('HDEL', meta, 'imports4')
