-- keep_until: let a key live at least to the end of the millisecond of a moment.
local function keep_until(key, us, now)
  local left_ms = math.floor(us / 1000) - math.floor(now / 1000) + 1
  if redis.call("PTTL", key) < left_ms then
    redis.call("PEXPIRE", key, left_ms)
  end
end
