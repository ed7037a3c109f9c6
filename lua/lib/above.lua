-- above: a number above the one before, and not below TIME's answer in microseconds.
-- Counting alone repeats itself on both sides of a partition;
-- the clock alone may stand still.
local function above(before, time)
  -- Joined and compared as texts: long numbers are slow to read and to print.
  local now = time[1] .. string.sub("00000", #time[2]) .. time[2]
  if not before or #before < #now or #before == #now and before < now then
    return now
  end
  return tonumber(before) < tonumber(now) and now or string.format("%.0f", before + 1)
end
