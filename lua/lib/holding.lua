-- holding: who has a claim, by which attempt, under which fence; no attempt: it is free; nil: not a claim.
local function holding(claim)
  return string.match(claim or "||0", "^(.*)|([^|]*)|(%d+)$")
end
