-- judge: ask the limit in ARGV from one place on for a cost. Return the limit, its time
-- before and after the cost, and how long the cost waits; nil and an error.
-- include: limit_at
-- include: tat
local function judge(limiter, i, now)
  local limit = limit_at(i)
  if not limit then
    return nil, redis.error_reply("COORD_RANGE a limit's number is above 2^50")
  end
  local us, part = tat(redis.call("HGET", limiter, limit.field), now)
  if not us then
    return nil, redis.error_reply("COORD_CORRUPT this limiter was not written by coord")
  end
  limit.us, limit.part = us, part
  limit.after_us, limit.after_part = us + limit.cost_us, part + limit.cost_part
  if limit.after_part >= limit.amount then
    limit.after_us = limit.after_us + 1
    limit.after_part = limit.after_part - limit.amount
  end
  -- Rounded up: a wait is never shorter than it must be.
  limit.wait = limit.after_us - limit.burst_us - now
  if limit.after_part > limit.burst_part then
    limit.wait = limit.wait + 1
  end
  return limit
end
