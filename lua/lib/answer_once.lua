-- answer_once: keep the answer of a call that was sent again: another copy may be late.
local function answer_once(answered, repeated, tombstone_ms, answer)
  if repeated == "1" then
    redis.call("SET", answered, answer, "PX", tombstone_ms)
  end
end
