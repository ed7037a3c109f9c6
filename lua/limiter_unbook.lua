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
local fields = { "places", unpack(ARGV, 2, #ARGV) }
local booked = redis.pcall("HMGET", place, "state", "at", unpack(fields, 1, #fields))
if booked.err then
  return booked
end
local has = redis.pcall("HMGET", limiter, unpack(fields, 1, #fields))
if has.err then
  return has
end
local words, gone, last = {}, {}, booked[1] == "booked"
local shift, full = 0, now
if last then
  local before, delay = places(booked[3])
  local latest, moved = places(has[1])
  if not all_whole(booked[2]) or not booked[3] or not before or not latest then
    return corrupt()
  end
  shift = math.max(0, moved - delay)
  for i = 2, #ARGV, 1 do
    local us, part, after_us, after_part = string.match(
      booked[i + 2] or "", "^(%d+)|(%d+)|(%d+)|(%d+)$"
    )
    if not all_whole(us, part, after_us, after_part) then
      return corrupt()
    end
    last = last and has[i] == moment(after_us + shift, tonumber(after_part))
    if us + shift > now then
      words[#words + 1] = ARGV[i]
      words[#words + 1] = moment(us + shift, tonumber(part))
      full = math.max(full, us + shift)
    else
      gone[#gone + 1] = ARGV[i]
    end
  end
  if before + shift > now then
    words[#words + 1] = "places"
    words[#words + 1] = moment(before + shift, moved)
  else
    gone[#gone + 1] = "places"
  end
end
redis.call("DEL", place)
redis.call("HSET", place, "state", "returned")
redis.call("PEXPIRE", place, tombstone_ms)
if last then
  if #gone > 0 then
    redis.call("HDEL", limiter, unpack(gone, 1, #gone))
  end
  if #words > 0 then
    redis.call("HSET", limiter, unpack(words, 1, #words))
  end
  keep_until(limiter, full, now)
end
return 1
