-- holding: the owner of a claim, its attempt and its fence;
-- no attempt: it is free; nil: not a claim.
-- include: whole
local function holding(claim)
  if not claim then
    return "", "", "0"
  end
  local owner, attempt, fence = string.match(claim, "^(.*)|([^|]*)|(%d+)$")
  if fence and whole(fence) then
    return owner, attempt, fence
  end
end
