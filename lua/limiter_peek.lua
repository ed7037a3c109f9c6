-- limiter_peek: whether a cost would pass now, and when if not.
--
-- KEYS   limiter      hash, expiring: limit to TAT, penalty  coord:limiter:{name}
-- ARGV   rate...      name    at least one: its field, amount/microseconds
--        parts...     count   how many parts a microsecond has: its amount
--        cost_us...   count   the time that the cost takes, in microseconds,
--        cost_part... count   and in parts of one
--        burst_us...  count   the time that a full burst takes, in microseconds,
--        burst_part... count  and in parts of one
-- REPLY  "allowed,wait,refusing,penalty,ahead,part,...", as limiter_hit
-- ERRORS WRONGTYPE, COORD_CORRUPT, COORD_RANGE
-- COST   O(limits), no write
-- REPEAT safe: it changes nothing

local limiter = KEYS[1]

-- include: now_us
-- include: judge
-- include: verdict

local now = now_us()
local fields = { "penalty", "places" }
for i = 1, #ARGV, 6 do
  fields[#fields + 1] = ARGV[i]
end
local rows, penalty = judge(limiter, fields, 1, now)
if not rows then
  return penalty
end
return (verdict(rows, penalty, now, false))
