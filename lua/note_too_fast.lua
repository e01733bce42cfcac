#!lua flags=allow-oom
--[[ note_too_fast: tell by an event that a message was refused because its sender, or a pair of agents, is too fast.
Atomic because it is one command. The caller bounds how often it tells of the same ones.
KEYS     events         stream   {po}:events3
ARGV     sender         who sent
         to             to whom, or all
         reason         send_rate or pair_rate
         retry_after_s  seconds after which a message is accepted again
RETURNS  1
ERRORS   NONE
TIME     O(1)
]]
emit(events, 'too_fast', 'from', sender, 'to', to, 'reason', reason, 'retry_after_s', retry_after_s)
return 1
