-- refuse: keep a refusal of a call that was sent again: its first copy may arrive late.
local function refuse(op, sequence, remember_ms, repeated, answer)
  if repeated == "1" and remember_ms ~= "0" then
    redis.call("SET", op, sequence .. "|" .. answer, "PX", remember_ms)
  end
end
