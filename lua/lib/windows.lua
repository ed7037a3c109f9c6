-- windows: the present windows of a quota, by one read: length in milliseconds, number,
-- what is spent and held, and end of each; nil and an error. None turns back.
-- include: all_whole
-- include: digits
local function windows(quota, pers, now, freed)
  local has = redis.pcall("HMGET", quota, unpack(pers, 1, #pers))
  if has.err then
    return nil, has
  end
  local rows = {}
  for i, per in ipairs(pers) do
    local length = tonumber(per)
    if length < 1 or length > 1000000000000000 then
      return nil, redis.error_reply("COORD_RANGE a limit's numbers are at most 10^15")
    end
    local number, spent, held = math.floor(now / length), 0, 0
    if has[i] then
      local before, was_spent, was_held = string.match(has[i], "^(%d+)|(%d+)|(%d+)$")
      if not all_whole(before, was_spent, was_held) then
        return nil, redis.error_reply("COORD_CORRUPT a window was not written by coord")
      end
      if tonumber(before) >= number then
        number, spent, held = tonumber(before), tonumber(was_spent), tonumber(was_held)
      end
    end
    local name = per .. ":" .. digits(number)
    rows[i] = {
      per = per, name = name, number = number, spent = spent,
      held = math.max(0, held - (freed[name] or 0)), ends = (number + 1) * length,
    }
  end
  return rows
end
