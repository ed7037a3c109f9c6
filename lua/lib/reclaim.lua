-- reclaim: take what reservations held whose time is over out of their windows.
-- include: whole
local function reclaim(quota, held, freed, now)
  if not next(freed) then
    return
  end
  for name, amount in pairs(freed) do
    local per, number = string.match(name, "^(%d+):(%d+)$")
    local before, spent, was_held = string.match(
      redis.call("HGET", quota, per) or "", "^(%d+)|(%d+)|(%d+)$"
    )
    if before == number and whole(was_held) then
      redis.call("HSET", quota, per, string.format("%s|%s|%.0f", number, spent,
        math.max(0, was_held - amount)))
    end
  end
  redis.call("ZREMRANGEBYSCORE", held, "-inf", now)
end
