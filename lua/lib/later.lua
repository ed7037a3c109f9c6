-- later: a number above the one before, and not below the clock in microseconds.
-- Counting alone repeats itself on both sides of a partition;
-- the clock alone may stand still.
local function later(before)
  local time = redis.call("TIME")
  local now = time[1] * 1000000 + time[2]
  if before and tonumber(before) >= now then
    now = tonumber(before) + 1
  end
  return string.format("%.0f", now)
end
