-- later: a number above the one before, and not below the clock in microseconds.
-- Counting alone repeats itself on both sides of a partition;
-- the clock alone may stand still.
local function later(before)
  local time = redis.call("TIME")
  -- Joined as text: sixteen digits of a double take a microsecond to print.
  local now = time[1] .. string.format("%06d", time[2])
  if before and tonumber(before) >= tonumber(now) then
    return string.format("%.0f", before + 1)
  end
  return now
end
