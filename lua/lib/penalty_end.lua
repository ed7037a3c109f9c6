-- penalty_end: when a limiter's penalty ends; 0: none is set; nil and an error.
-- include: whole
local function penalty_end(limiter)
  local penalty = redis.pcall("HGET", limiter, "penalty")
  if type(penalty) == "table" then
    return nil, penalty
  end
  if penalty and not whole(penalty) then
    return nil, redis.error_reply("COORD_CORRUPT this limiter was not written by coord")
  end
  return tonumber(penalty or 0)
end
