-- recorded: state, attempt, owner, fence and fingerprint of an execution, or an error
-- reply; "free": it does not run and has no result.
-- include: whole
local function recorded(execution)
  local has = redis.pcall("HMGET", execution, "state", "attempt", "owner", "fence",
    "fingerprint")
  if has.err then
    return has
  end
  local states = { running = true, done = true, failed = true, free = true }
  if not has[1] then
    return { "free", "", "", "0", "" }
  end
  if not (states[has[1]] and has[2] and has[3] and has[5] and whole(has[4] or "")) then
    return redis.error_reply("COORD_CORRUPT this execution was not written by coord")
  end
  return has
end
