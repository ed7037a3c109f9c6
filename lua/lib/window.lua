-- window: the present window of a quota, so many milliseconds long: its number, what is
-- spent and held in it, and its end; nil: not written by coord. It never turns back.
-- include: all_whole
local function window(quota, per, now, freed)
  local number, spent, held = math.floor(now / per), 0, 0
  local kept = redis.call("HGET", quota, per)
  if kept then
    local before, was_spent, was_held = string.match(kept, "^(%d+)|(%d+)|(%d+)$")
    if not all_whole(before, was_spent, was_held) then
      return nil
    end
    if tonumber(before) >= number then
      number, spent, held = tonumber(before), tonumber(was_spent), tonumber(was_held)
    end
  end
  local name = string.format("%s:%.0f", per, number)
  held = math.max(0, held - (freed[name] or 0))
  return { per = per, name = name, number = number, spent = spent, held = held,
    ends = (number + 1) * per }
end
