-- limiter_unbook: return a place unless more was booked since, and refuse late copies.
--
-- KEYS   limiter      hash, expiring: limit to TAT, penalty  coord:limiter:{name}
--        place        hash, expiring: its time  coord:limiter:{name}:place:<call>
-- ARGV   tombstone_ms  ms     how long the place stays refused: longer than any retry
--        rate...      name    at least one: a limit's field
-- REPLY  1
-- ERRORS WRONGTYPE, COORD_CORRUPT
-- COST   O(limits), two writes and one a limit
-- REPEAT safe: a place is returned once

local limiter, place = KEYS[1], KEYS[2]
local tombstone_ms = ARGV[1]

-- include: now_us
-- include: places
-- include: all_whole
-- include: moment
-- include: keep_until

local function corrupt()
  return redis.error_reply("COORD_CORRUPT this place was not written by coord")
end
local now = now_us()
local booked = redis.pcall("HMGET", place, "state", "at", "places")
if booked.err then
  return booked
end
local kind = redis.pcall("HEXISTS", limiter, "places")
if type(kind) == "table" then
  return kind
end
local rows, gone, last = {}, {}, booked[1] == "booked"
local shift, full = 0, now
if last then
  local before, delay = string.match(booked[3] or "", "^(%d+)|(%d+)$")
  local latest, moved = places(limiter)
  if not all_whole(before, delay, booked[2]) or not latest then
    return corrupt()
  end
  shift = math.max(0, moved - delay)
  for i = 2, #ARGV, 1 do
    local us, part, after_us, after_part = string.match(
      redis.call("HGET", place, ARGV[i]) or "", "^(%d+)|(%d+)|(%d+)|(%d+)$"
    )
    if not all_whole(us, part, after_us, after_part) then
      return corrupt()
    end
    last = last and redis.call("HGET", limiter, ARGV[i])
      == moment(after_us + shift, after_part)
    if us + shift > now then
      rows[ARGV[i]] = moment(us + shift, part)
      full = math.max(full, us + shift)
    else
      gone[#gone + 1] = ARGV[i]
    end
  end
  if before + shift > now then
    rows.places = moment(before + shift, moved)
  else
    gone[#gone + 1] = "places"
  end
end
redis.call("DEL", place)
redis.call("HSET", place, "state", "returned")
redis.call("PEXPIRE", place, tombstone_ms)
if last then
  for _, rate in ipairs(gone) do
    redis.call("HDEL", limiter, rate)
  end
  for field, value in pairs(rows) do
    redis.call("HSET", limiter, field, value)
  end
  keep_until(limiter, full, now)
end
return 1
