-- places: the latest place that was booked at a limiter, and by how much penalties have
-- moved all places so far; nil: not written by coord.
-- include: whole
local function places(limiter)
  local kept = redis.call("HGET", limiter, "places")
  if not kept then
    return 0, 0
  end
  local last, delay = string.match(kept, "^(%d+)|(%d+)$")
  if last and whole(last) and whole(delay) then
    return tonumber(last), tonumber(delay)
  end
end
