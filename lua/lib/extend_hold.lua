-- extend_hold: hold a reservation for a while from now; return an error if it cannot.
local function extend_hold(reservation, held, member, keep, now, ttl_ms, grace_ms)
  local kind = redis.pcall("ZCARD", held)
  if type(kind) == "table" then
    return kind
  end
  local deadline = now + ttl_ms
  redis.call("ZADD", held, deadline, member)
  redis.call("PEXPIRE", held, math.max(tonumber(ttl_ms), redis.call("PTTL", held)))
  redis.call("HSET", reservation, "deadline", deadline, "until", deadline + grace_ms)
  redis.call("PEXPIRE", reservation, math.max(ttl_ms + grace_ms, keep - now + 1))
end
