-- the record, as lib/entry.lua has it, of something that has just been accepted
local function new_entry(stream_id, digest, seq, state, time, from)
  return stream_id .. ' ' .. digest .. ' ' .. seq .. ' ' .. state .. ' ' .. time .. ' ' .. from
end
