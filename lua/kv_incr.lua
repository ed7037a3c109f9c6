-- kv_incr: add to a number.
--
-- KEYS   number       string: a 64-bit integer               coord:kv:{key}
--        op           string, expiring: sequence|answer       coord:kv:{key}:op:<op_id>
-- ARGV   delta        int     what to add
--        ttl_ms       ms?     how long to keep it from now; 0: it never expires
--        sequence     count   the call on that id whose answer it is; 0: the only one
--        remember_ms  ms?     how long to remember the operation id; 0: it has none
-- REPLY  the sum, in digits
-- ERRORS WRONGTYPE, ERR value is not an integer,
--        ERR increment or decrement would overflow
-- COST   O(1), one write, and one more with an operation id
-- REPEAT remembered: the first answer again

local number, op = KEYS[1], KEYS[2]
local delta, ttl_ms, sequence, remember_ms = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

-- include: recall
-- include: refresh
-- include: remember

local answered = recall(op, sequence, remember_ms)
if answered then
  return answered
end
local total = redis.pcall("INCRBY", number, delta)
if type(total) == "table" then
  return total
end
-- Lua was handed a double: past 2^53 only the stored digits are exact.
if math.abs(total) < 9007199254740992 then
  total = string.format("%.0f", total)
else
  total = redis.call("GET", number)
end
refresh(number, ttl_ms)
remember(op, sequence, remember_ms, total)
return total
