-- at_ms: a score as whole milliseconds, at most 2^53; by hand, one can be anything.
local function at_ms(score)
  return math.min(math.floor(score + 0), 9007199254740992)
end
