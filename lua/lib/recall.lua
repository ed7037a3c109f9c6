-- recall: the answer that this operation was given the first time; nil: it has not run.
local function recall(op, turn, remember_ms)
  local kept = remember_ms ~= "0" and redis.call("GET", op)
  if kept and string.sub(kept, 1, #turn + 1) == turn .. "|" then
    return string.sub(kept, #turn + 2)
  end
end
