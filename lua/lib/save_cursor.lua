local function save_cursor(cursors, changes, agent, value)
  redis.call('HSET', cursors, agent, value)
  note_changes(changes, { agent })
end
