-- outlive: keep a set of deadlines until the last of them, and at least until a moment.
-- include: at_ms
local function outlive(key, least_ms)
  local last = redis.call("ZRANGE", key, 0, 0, "REV", "WITHSCORES")
  local ends_ms = math.max(at_ms(last[2]), least_ms)
  redis.call("PEXPIREAT", key, string.format("%.0f", ends_ms))
end
