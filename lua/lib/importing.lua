-- the refusal of what would store mail while an import runs, which needs every stream as its file has it, or after a
-- newer postino has taken over the data; nil while neither is so, and then whether the data was once of format 1
local function importing(meta)
  local running, format_1 = unpack(redis.call('HMGET', meta, 'imports4', 'import'))
  if not running then return nil, format_1 end
  if string.find(running, '^format ') then -- see migrate.lua
    return redis.error_reply('WRONG_STORE the data has ' .. running .. ', which a newer postino wrote: update this one')
  end
  return redis.error_reply('IMPORTING an import into this mailroom has not finished; repeat it, or end it with '
    .. '`postino import --abandon`')
end
