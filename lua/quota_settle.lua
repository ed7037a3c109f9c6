-- quota_settle: book what a reservation has really spent, or cancel it, once.
--
-- KEYS   quota        hash, expiring: length to window          coord:quota:{name}
--        reservation  hash, expiring: its state  coord:quota:{name}:reservation:<id>
--        held         zset, expiring: what is held until when   coord:quota:{name}:held
-- ARGV   nonce        name    the attempt that made it, or may yet make it
--        call         name    made for this call
--        verdict      settled|cancelled   a cancelled one has spent nothing
--        actual       int     what was spent; negative: what is held
--        tombstone_ms  ms     how long the answer is kept: longer than any retry
-- REPLY  1 when this call did it, else 0: it was done before, or is too late
-- ERRORS WRONGTYPE, COORD_CORRUPT, COORD_OVERFLOW, COORD_RANGE
-- COST   O(limits), five writes
-- REPEAT safe: the call that did it is answered 1 again

local quota, reservation, held = KEYS[1], KEYS[2], KEYS[3]
local nonce, call, verdict, actual = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local tombstone_ms = ARGV[5]

-- include: now_ms
-- include: all_whole
-- include: windows
-- include: put_windows

local now = now_ms()
local has = redis.pcall("HMGET", reservation, "state", "nonce", "member", "until",
  "keep", "call")
if has.err then
  return has
end
if not has[1] and verdict == "cancelled" then
  redis.call("HSET", reservation, "state", "refused", "nonce", nonce)
  redis.call("PEXPIRE", reservation, tombstone_ms)
  return 0
end
if has[2] ~= nonce then
  return 0
end
if has[1] ~= "held" then
  return has[1] == verdict and has[6] == call and 1 or 0
end
local amount, booked = string.match(has[3] or "", "^(%d+)|(%d+:%d+[%d:,]*)|")
if not all_whole(amount, has[4], has[5]) then
  return redis.error_reply("COORD_CORRUPT this reservation was not written by coord")
end
if tonumber(has[4]) < now then
  return 0
end
local more = tonumber(actual)
if more > 1000000000000000 then
  return redis.error_reply("COORD_RANGE an amount is at most 10^15")
end
if more < 0 then
  more = tonumber(amount)
end
if verdict == "cancelled" then
  more = 0
end
local score = redis.pcall("ZSCORE", held, has[3])
if type(score) == "table" then
  return score
end
local pers, names = {}, {}
for per, number in string.gmatch(booked, "(%d+):(%d+)") do
  pers[#pers + 1], names[#names + 1] = per, per .. ":" .. number
end
local present, wrong = windows(quota, pers, now, {})
if not present then
  return wrong
end
local rows = {}
for i, row in ipairs(present) do
  if row.name == names[i] then
    row.spent = row.spent + more
    if row.spent > 9007199254740991 then
      return redis.error_reply("COORD_OVERFLOW the amount spent would pass 2^53")
    end
    if score then
      row.held = math.max(0, row.held - amount)
    end
    rows[#rows + 1] = row
  end
end
redis.call("ZREM", held, has[3])
redis.call("HSET", reservation, "state", verdict, "call", call)
redis.call("PEXPIRE", reservation, math.max(tombstone_ms, has[5] - now + 1))
if #rows > 0 then
  put_windows(quota, rows, now)
end
return 1
