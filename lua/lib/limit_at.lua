-- limit_at: a limit and a cost, from six words in ARGV; nil: a number is too large.
-- Sums with the clock must stay below 2^53.
local function limit_at(i)
  local limit = {
    field = ARGV[i],
    amount = tonumber(ARGV[i + 1]),
    cost_us = tonumber(ARGV[i + 2]),
    cost_part = tonumber(ARGV[i + 3]),
    burst_us = tonumber(ARGV[i + 4]),
    burst_part = tonumber(ARGV[i + 5]),
  }
  local largest = math.max(limit.amount, limit.cost_us, limit.cost_part, limit.burst_us,
    limit.burst_part)
  return largest <= 1125899906842624 and limit or nil
end
