-- later: a number above the one before, and not below the clock in microseconds.
-- include: above
local function later(before)
  return above(before, redis.call("TIME"))
end
