#!lua flags=no-writes
--[[ older: return entries of a stream, newest first.
Atomic because the first entry must not leave between its check and the reading of what is before it.
KEYS     history  stream   {po}:history, or another stream
ARGV     last     where to begin: a stream ID, behind '(' if it is left out itself
         first    where to end: a stream ID, or '-' for the first entry
         limit    most entries to return
RETURNS  entries, each with its stream ID and its fields
ERRORS   NONE
TIME     O(limit), also if there is nothing before the place
]]
--@include lib/backwards
return read_backwards(KEYS[1], ARGV[1], ARGV[2], ARGV[3])
