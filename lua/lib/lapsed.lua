-- lapsed: what reservations still hold whose time is over, by window; nil and an error.
-- include: whole
local function lapsed(held, now)
  local freed, first, size = {}, 0, 1000
  repeat
    local members = redis.pcall("ZRANGEBYSCORE", held, "-inf", now,
      "LIMIT", first, size)
    if members.err then
      return nil, members
    end
    for _, member in ipairs(members) do
      local amount, windows = string.match(member, "^([0-9]+)|([0-9]+:[0-9]+[0-9:,]*)|")
      if not amount or not whole(amount) then
        return nil, redis.error_reply("COORD_CORRUPT a member was not written by coord")
      end
      for window in string.gmatch(windows, "%d+:%d+") do
        freed[window] = (freed[window] or 0) + amount
      end
    end
    first = first + size
  until #members < size
  return freed
end
