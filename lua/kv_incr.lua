-- kv_incr: add to a number.
--
-- KEYS   number       string: a 64-bit integer               coord:kv:{key}
--        op           string, expiring: sequence|answer       coord:kv:{key}:op:<op_id>
-- ARGV   delta        int     what to add
--        ttl_ms       ms?     how long to keep it from now; 0: it never expires
--        keep         0|1     1: the TTL of a number that is there stays as it is
--        sequence     int     the call on that id whose answer it is
--        remember_ms  ms?     how long to remember the operation id; 0: it has none
--        repeated     0|1     1: an earlier copy of this call may still be executed
-- REPLY  the sum, in digits
-- ERRORS WRONGTYPE, COORD_OVERFLOW, ERR value is not an integer,
--        ERR increment or decrement would overflow
-- COST   O(1), one write, and one more with an operation id
-- REPEAT remembered: the first answer again

local number, op = KEYS[1], KEYS[2]
local delta, ttl_ms, keep, sequence = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local remember_ms, repeated = ARGV[5], ARGV[6]

-- include: recall
-- include: refresh
-- include: remember
-- include: refuse

local answered = recall(op, sequence, remember_ms)
if answered == "" then
  return redis.error_reply(
    "COORD_OVERFLOW the sum would overflow 64 bits; nothing was added"
  )
end
if answered then
  return answered
end
local kept = keep == "1" and redis.call("EXISTS", number) == 1
local total = redis.pcall("INCRBY", number, delta)
if type(total) == "table" then
  -- fakeredis answers with an object of its own.
  local why = type(total.err) == "string" and total.err or ""
  if string.find(why, "would overflow", 1, true) then
    refuse(op, sequence, remember_ms, repeated, "")
  end
  return total
end
-- Lua was handed a double: past 2^53 only the stored digits are exact.
if math.abs(total) < 9007199254740992 then
  total = string.format("%.0f", total)
else
  total = redis.call("GET", number)
end
if not kept then
  refresh(number, ttl_ms)
end
remember(op, sequence, remember_ms, total)
return total
