-- the count is bounded, or a quiet day after a busy one keeps a million events; trimmed by whole nodes
local function emit(events, kind, ...)
  redis.call('XADD', events, 'MAXLEN', '~', 10000, '*', 'type', kind, ...)
end
