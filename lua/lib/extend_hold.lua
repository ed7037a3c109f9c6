-- extend_hold: hold a reservation for a while from now.
local function extend_hold(reservation, held, member, keep, now, ttl_ms, grace_ms)
  local deadline = string.format("%.0f", now + ttl_ms)
  redis.call("ZADD", held, deadline, member)
  redis.call("PEXPIRE", held, math.max(tonumber(ttl_ms), redis.call("PTTL", held)))
  redis.call("HSET", reservation, "deadline", deadline,
    "until", string.format("%.0f", now + ttl_ms + grace_ms))
  redis.call("PEXPIRE", reservation, math.max(ttl_ms + grace_ms, keep - now + 1))
end
