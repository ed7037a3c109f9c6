-- limiter_confirm: whether the time of a place has come; penalties may have moved it.
--
-- KEYS   limiter      hash, expiring: limit to TAT, penalty  coord:limiter:{name}
--        place        hash, expiring: its time  coord:limiter:{name}:place:<call>
-- ARGV   tombstone_ms  ms     how long a place is kept after its time
-- REPLY  how many microseconds until its time; 0: it has come
-- ERRORS WRONGTYPE, COORD_CORRUPT
-- COST   O(1), one write when it has moved
-- REPEAT safe: it changes no time

local limiter, place = KEYS[1], KEYS[2]
local tombstone_ms = ARGV[1]

-- include: now_us
-- include: schedule

local now = now_us()
local booked = redis.pcall("HMGET", place, "at", "places")
if booked.err then
  return booked
end
local penalty, wrong, delay = schedule(limiter)
if not penalty then
  return wrong
end
local _, before = places(booked[2])
if booked[1] and not (booked[2] and before and whole(booked[1])) then
  return redis.error_reply("COORD_CORRUPT this place was not written by coord")
end
if not booked[1] then
  return 0
end
local wait = booked[1] - now
if delay > before then
  wait = math.max(wait + delay - before, penalty - now)
end
if wait <= 0 then
  return 0
end
redis.call("PEXPIRE", place, tombstone_ms + math.ceil(wait / 1000))
return wait
