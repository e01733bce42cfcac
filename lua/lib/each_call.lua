-- the reply to the calls that go as one: the answer of a single one, or a list of their answers. KEYS are `shared` ones
-- and then those of each call, ARGV the `arguments` of each call. `answer` gets what precedes a call's own in both. An
-- error ends its own call only; as the server does, its text says that it was met within a script
local function each_call(shared, arguments, answer)
  local calls = #ARGV / arguments
  if calls == 1 then return answer(shared, 0) end
  local answers, keys = {}, (#KEYS - shared) / calls
  for at = 1, calls do
    local whole, result = pcall(answer, shared + (at - 1) * keys, (at - 1) * arguments)
    if not whole then
      local code = string.find(result, '^user_script:') and 'ERR ' or ''
      result = { err = code .. result .. ' script: one of ' .. calls .. ' calls, on @user_script:' }
    end
    answers[at] = result
  end
  return answers
end
