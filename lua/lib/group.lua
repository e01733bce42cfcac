-- groups: name in lower case -> JSON record of a mailing list
-- record: name (as first written), since (ms), members (names that the agents had when they joined or were renamed
-- last);
-- the record of an agent has `groups`, the names of those it is in, so that a rename and its removal know them

-- the record of a group; nil if there is none, or a disk has altered it
local function load_group(groups, group)
  local record = load_json(groups, group)
  if not record or type(record.name) ~= 'string' or type(record.members) ~= 'table' then return nil end
  local sound = type(record.since) == 'number' and record.since >= 0 and record.since < 1e13
  for _, each in ipairs(record.members) do sound = sound and type(each) == 'string' end
  return sound and record or nil
end

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
    local found = load_group(groups, group)
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
