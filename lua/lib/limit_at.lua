-- limit_at: amount, cost and burst of a limit, from its words in ARGV; nil: a number is
-- too large. Sums with the clock must stay below 2^53.
local function limit_at(i)
  local amount, cost_us, cost_part = ARGV[i + 1] + 0, ARGV[i + 2] + 0, ARGV[i + 3] + 0
  local burst_us, burst_part = ARGV[i + 4] + 0, ARGV[i + 5] + 0
  if math.max(amount, cost_us, cost_part, burst_us, burst_part) <= 1125899906842624 then
    return amount, cost_us, cost_part, burst_us, burst_part
  end
end
