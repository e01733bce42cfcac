-- the refusal of what would store mail while an import runs, which needs every stream as its file has it
local function importing(meta)
  if redis.call('HEXISTS', meta, 'imports') == 0 then return nil end
  return redis.error_reply('IMPORTING an import into this mailroom has not finished; repeat it, or end it with '
    .. '`postino import --abandon`')
end
