#!lua flags=allow-oom
--[[ save_notifier: store what the notifier has told, and keep its place or give it up.
Atomic because a daemon that has lost the place must not overwrite what its successor stored.
KEYS     notifier  hash  {po}:notifier
ARGV     daemon    id of the daemon
         hold_ms   how long it keeps the place; 0: it gives it up
         state     what it has told
RETURNS  1 stored | 0 the place is another daemon's
ERRORS   NONE
TIME     O(1)
]]
if redis.call('HGET', notifier, 'daemon') ~= daemon then return 0 end
redis.call('HSET', notifier, 'state', state, 'until', digits(now_ms() + tonumber(hold_ms)))
return 1
