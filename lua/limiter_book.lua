-- limiter_book: take the next place in the schedule of several limits.
--
-- KEYS   limiter      hash, expiring: limit to TAT, penalty  coord:limiter:{name}
--        place        hash, expiring: its time  coord:limiter:{name}:place:<call>
-- ARGV   wait_ms      ms      how long the caller would wait for it at most
--        tombstone_ms  ms     how long a place is kept after its time
--        repeated     0|1     1: an earlier copy of this call may still be executed
--        rate...      name    at least one: its field, amount/microseconds
--        parts...     count   how many parts a microsecond has: its amount
--        cost_us...   count   the time that the cost takes, in microseconds,
--        cost_part... count   and in parts of one
--        burst_us...  count   the time that a full burst takes, in microseconds,
--        burst_part... count  and in parts of one
-- REPLY  {booked, wait_us}
--        booked     1 when the place is taken, else 0: it comes too late
--        wait_us    how long from now until its time
-- ERRORS WRONGTYPE, COORD_CORRUPT, COORD_RANGE
-- COST   O(limits), two writes and one a limit; one when refused and repeated
-- REPEAT safe: the same place; a place that was returned is not taken again

local limiter, place = KEYS[1], KEYS[2]
local wait_ms, tombstone_ms, repeated = ARGV[1], ARGV[2], ARGV[3]

-- include: now_us
-- include: judge
-- include: places
-- include: moment
-- include: keep_until

local now = now_us()
local booked = redis.pcall("HMGET", place, "at", "state", "wait")
if booked.err then
  return booked
end
if not whole(booked[1] or "0") or not whole(booked[3] or "0") then
  return redis.error_reply("COORD_CORRUPT this place was not written by coord")
end
if booked[2] == "returned" then
  return { 0, tonumber(booked[3] or 0) }
end
if booked[1] then
  return { 1, math.max(0, booked[1] - now) }
end
local fields = { "penalty", "places" }
for i = 4, #ARGV, 6 do
  fields[#fields + 1] = ARGV[i]
end
local rows, penalty, kept = judge(limiter, fields, 4, now)
if not rows then
  return penalty
end
local last, delay = places(kept)
if not last then
  return redis.error_reply("COORD_CORRUPT this limiter was not written by coord")
end
local wait = math.max(0, penalty - now)
for _, row in ipairs(rows) do
  wait = math.max(wait, row.wait)
end
if wait > wait_ms * 1000 then
  if repeated == "1" then
    redis.call("HSET", place, "state", "returned", "wait", wait)
    redis.call("PEXPIRE", place, tombstone_ms)
  end
  return { 0, wait }
end
local full, words = now + wait, {}
local booking = { "at", full, "state", "booked", "places", moment(last, delay) }
for _, row in ipairs(rows) do
  local us, part = row.after_us, row.after_part
  -- The cost passes at the time of its place: until then the limit may fill up.
  if row.us < now + wait then
    us, part = now + wait + row.cost_us, row.cost_part
  end
  local after = moment(us, part)
  words[#words + 1] = row.field
  words[#words + 1] = after
  booking[#booking + 1] = row.field
  booking[#booking + 1] = moment(row.us, row.part) .. "|" .. after
  full = math.max(full, us)
end
if wait > 0 then
  words[#words + 1] = "places"
  words[#words + 1] = moment(math.max(last, now + wait), delay)
end
redis.call("HSET", place, unpack(booking, 1, #booking))
redis.call("PEXPIRE", place, tombstone_ms + math.ceil(wait / 1000))
redis.call("HSET", limiter, unpack(words, 1, #words))
keep_until(limiter, full, now)
return { 1, wait }
