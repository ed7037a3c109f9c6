-- recall: the answer this operation was given the first time; false: it has not run.
local function recall(op, remember_ms)
  return remember_ms ~= "0" and redis.call("GET", op)
end
