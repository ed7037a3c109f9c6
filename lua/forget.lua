-- forget: end the window of once early, because the work failed.
--
-- KEYS   once         string, expiring: owner|nonce of the first   coord:once:{name}
--        op           string, expiring: the answer      coord:once:{name}:op:<op_id>
-- ARGV   owner        str     the owner of the window; "": any owner
--        sequence     int     the call on that id whose answer it is
--        remember_ms  ms?     how long to remember the operation id; 0: it has none
--        repeated     0|1     1: an earlier copy of this call may still be executed
-- REPLY  1 when there was a window, else 0
-- ERRORS WRONGTYPE, COORD_CORRUPT
-- COST   O(1), one write when ended, and one more with an operation id
-- REPEAT remembered: the first answer again

local once, op = KEYS[1], KEYS[2]
local owner, sequence, remember_ms, repeated = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

-- include: recall
-- include: remember
-- include: refuse

local before = recall(op, sequence, remember_ms)
if before then
  return before == "1" and 1 or 0
end
local held = redis.pcall("GET", once)
if type(held) == "table" then
  return held
end
local first = held and string.match(held, "^(.*)|[^|]*$")
if held and not first then
  return redis.error_reply("COORD_CORRUPT this window was not written by coord")
end
if not held or owner ~= "" and first ~= owner then
  refuse(op, sequence, remember_ms, repeated, "0")
  return 0
end
redis.call("DEL", once)
remember(op, sequence, remember_ms, "1")
return 1
