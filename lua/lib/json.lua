-- a hash field that holds a JSON record, nil if there is none
local function load_json(hash, name)
  local value = redis.call('HGET', hash, name)
  return value and cjson.decode(value) or nil
end

local function save_json(hash, name, record)
  redis.call('HSET', hash, name, cjson.encode(record))
end
