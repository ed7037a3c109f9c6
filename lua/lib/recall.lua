-- recall: the answer that this operation gave before; nil: it has not run.
--
-- The caller's own id travels with a negative sequence, new for each call: what was
-- done is kept under 0 for all of them, a refusal only for copies of that one call.
local function recall(op, sequence, remember_ms)
  local kept = remember_ms ~= "0" and redis.call("GET", op)
  if not kept then
    return nil
  end
  if string.find(kept, sequence .. "|", 1, true) == 1 then
    return string.sub(kept, #sequence + 2)
  end
  if string.sub(sequence, 1, 1) == "-" and string.sub(kept, 1, 2) == "0|" then
    return string.sub(kept, 3)
  end
end
