-- places: the latest place that was booked at a limiter, and by how much penalties have
-- moved all places so far, as its field has it; nil: not written by coord.
-- include: whole
local function places(kept)
  if not kept then
    return 0, 0
  end
  local last, delay = string.match(kept, "^(%d+)|(%d+)$")
  last, delay = last and whole(last), last and whole(delay)
  if last and delay then
    return last, delay
  end
end
