-- remember: keep the answer of an operation that was done; 0 ms: it has no id.
local function remember(op, sequence, remember_ms, answer)
  if remember_ms ~= "0" then
    local call = string.sub(sequence, 1, 1) == "-" and "0" or sequence
    redis.call("SET", op, call .. "|" .. answer, "PX", remember_ms)
  end
end
