-- first_answer: keep an operation's answer before anything else is written;
-- of a repetition, the answer that was given the first time; nil: it has not run.
local function first_answer(op, sequence, remember_ms, answer)
  if remember_ms == "0" then
    return nil
  end
  local kept = redis.call("SET", op, sequence .. "|" .. answer, "PX", remember_ms,
    "GET")
  if kept and string.find(kept, sequence .. "|", 1, true) == 1 then
    redis.call("SET", op, kept, "PX", remember_ms)
    return string.sub(kept, #sequence + 2)
  end
end
