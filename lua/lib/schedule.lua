-- schedule: when a limiter's penalty ends, its latest place, and by how much penalties
-- have moved all places; 0 where there is none; nil and an error.
-- include: whole
-- include: places
local function schedule(limiter)
  local has = redis.pcall("HMGET", limiter, "penalty", "places")
  if has.err then
    return nil, has
  end
  local penalty, last, delay = whole(has[1] or "0"), places(has[2])
  if not penalty or not last then
    return nil, redis.error_reply("COORD_CORRUPT this limiter was not written by coord")
  end
  return penalty, last, delay
end
