-- sweep: remove the members of a group whose time is over; the last deadline of the
-- others, 0 when there are none. A member has a field d:member for its deadline,
-- incarnation and nonce, and a field m:member for its metadata.
local function sweep(group, now)
  local members, last = {}, 0
  for _, field in ipairs(redis.call("HKEYS", group)) do
    if string.sub(field, 1, 2) == "d:" then
      members[#members + 1] = field
    end
  end
  for i = 1, #members, 1000 do
    local most = math.min(i + 999, #members)
    for at, held in ipairs(redis.call("HMGET", group, unpack(members, i, most))) do
      local deadline = tonumber(string.match(held, "^(%d+)|")) or 0
      if deadline < now then
        local field = members[i + at - 1]
        redis.call("HDEL", group, field, "m:" .. string.sub(field, 3))
      else
        last = math.max(last, deadline)
      end
    end
  end
  return last
end
