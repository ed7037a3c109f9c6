-- remember: keep an operation's answer for its repetitions; 0 ms: it has no id.
local function remember(op, sequence, remember_ms, answer)
  if remember_ms ~= "0" then
    redis.call("SET", op, sequence .. "|" .. answer, "PX", remember_ms)
  end
end
