-- batched: a command over ARGV from one place to its end, a thousand at a time:
-- unpack fails near 8,000.
local function batched(command, key, first)
  local total = 0
  for i = first, #ARGV, 1000 do
    total = total + redis.call(command, key, unpack(ARGV, i, math.min(i + 999, #ARGV)))
  end
  return total
end
