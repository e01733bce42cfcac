-- the deliveries that a session was shown, given as a JSON object of message id -> delivery count, by stream ID
local function shown_counts(index, shown)
  local counts = {}
  for id, deliveries in pairs(cjson.decode(shown)) do
    local entry = load_entry(index, id)
    if entry then counts[entry.s] = deliveries end
  end
  return counts
end
