-- groups: name in lower case -> JSON record of a mailing list
-- record: name (as first written), since (ms), members (names that the agents had when they joined or were renamed
-- last);
-- the record of an agent has `groups`, the names of those it is in, so that a rename and its removal know them

-- a group without members is none
local function save_group(groups, group, record)
  if #record.members == 0 then
    redis.call('HDEL', groups, group)
  else
    save_json(groups, group, record)
  end
end

-- put `new`, or with nil nobody, in place of a member of all groups that the record of an agent names
local function replace_member(groups, record, old, new)
  for _, group in ipairs(record.groups or {}) do
    local found = load_json(groups, group)
    if found then
      local members = without(found.members, old)
      if new and #members < #found.members then
        members = without(members, new)
        members[#members + 1] = new
      end
      found.members = members
      save_group(groups, group, found)
    end
  end
end
