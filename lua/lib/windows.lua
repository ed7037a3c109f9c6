-- windows: the present windows of a quota, by one read: length in milliseconds,
-- number in digits, what is spent and held, and end of each; nil and an error. None
-- turns back.
-- include: exact
-- include: digits
local function windows(quota, pers, now, freed)
  local has = redis.pcall("HMGET", quota, unpack(pers, 1, #pers))
  if has.err then
    return nil, has
  end
  local rows = {}
  for i, per in ipairs(pers) do
    local length = per + 0
    if length < 1 or length > 1000000000000000 then
      return nil, redis.error_reply("COORD_RANGE a limit's numbers are at most 10^15")
    end
    local present, number, spent, held = math.floor(now / length), nil, 0, 0
    if has[i] then
      local before, was_spent, was_held = string.match(
        has[i], "^([0-9]+)|([0-9]+)|([0-9]+)$"
      )
      local latest = before and exact(before)
      was_spent, was_held = before and exact(was_spent), before and exact(was_held)
      if not latest or not was_spent or not was_held then
        return nil, redis.error_reply("COORD_CORRUPT a window was not written by coord")
      end
      if latest >= present then
        present, number, spent, held = latest, before, was_spent, was_held
      end
    end
    number = number or digits(present)
    local name = per .. ":" .. number
    rows[i] = {
      per = per, name = name, number = number, spent = spent,
      held = math.max(0, held - (freed[name] or 0)), ends = (present + 1) * length,
    }
  end
  return rows
end
