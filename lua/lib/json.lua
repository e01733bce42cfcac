-- a hash field that holds a JSON record, nil if there is none that can be read
local function load_json(hash, name)
  local value = redis.call('HGET', hash, name)
  local whole, record = pcall(cjson.decode, value or '')
  return whole and type(record) == 'table' and record or nil
end

local function save_json(hash, name, record)
  redis.call('HSET', hash, name, cjson.encode(record))
end
