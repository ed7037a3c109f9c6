-- permit_of: member, weight and fence of an owner's permit; nil: it has none.
-- ``=owner`` has the permit's deadline as its score, so the permit is found beside it.
local function permit_of(semaphore, owner, deadline)
  local beside = redis.call("ZRANGE", semaphore, deadline, deadline, "BYSCORE")
  for _, member in ipairs(beside) do
    local weight, fence, whose = string.match(member, "^[^|=]+|(%d+)|(%d+)|(.*)$")
    if whose == owner then
      return member, weight, fence
    end
  end
end
