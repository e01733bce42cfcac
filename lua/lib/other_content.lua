-- why an id is not accepted again; `entry` is its record, nil for one that was altered
local function other_content(entry)
  return entry and 'with other content' or 'with what is not known any more, as its record is damaged: take another id'
end
