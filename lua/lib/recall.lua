-- recall: the answer that this operation was given the first time; nil: it has not run.
local function recall(op, sequence, remember_ms)
  local kept = remember_ms ~= "0" and redis.call("GET", op)
  if kept and string.find(kept, sequence .. "|", 1, true) == 1 then
    return string.sub(kept, #sequence + 2)
  end
end
