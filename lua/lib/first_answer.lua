-- first_answer: keep an operation's answer before anything else is written;
-- of a repetition, return the answer of the first time; nil: it has not run.
local function first_answer(op, sequence, remember_ms, answer)
  if remember_ms == "0" then
    return nil
  end
  local call = (string.sub(sequence, 1, 1) == "-" and "0" or sequence) .. "|"
  local kept = redis.call("SET", op, call .. answer, "PX", remember_ms, "GET")
  if kept and string.find(kept, call, 1, true) == 1 then
    redis.call("SET", op, kept, "PX", remember_ms)
    return string.sub(kept, #call + 1)
  end
end
