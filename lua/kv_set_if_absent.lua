-- kv_set_if_absent: set a key to 1, if it is not there.
--
-- KEYS   flag         string: 1                              coord:kv:{key}
--        op           string, expiring: sequence|answer       coord:kv:{key}:op:<op_id>
-- ARGV   ttl_ms       ms?     how long to keep it from now; 0: it never expires
--        sequence     int     the call on that id whose answer it is
--        remember_ms  ms?     how long to remember the operation id; 0: it has none
--        repeated     0|1     1: an earlier copy of this call may still be executed
-- REPLY  1 when it was absent, else 0
-- ERRORS none
-- COST   O(1), one write when absent, and one more with an operation id
-- REPEAT remembered: the first answer again

local flag, op = KEYS[1], KEYS[2]
local ttl_ms, sequence, remember_ms, repeated = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

-- include: recall
-- include: refresh
-- include: remember
-- include: refuse

local answered = recall(op, sequence, remember_ms)
if answered then
  return answered == "1" and 1 or 0
end
if redis.call("SETNX", flag, "1") == 0 then
  refuse(op, sequence, remember_ms, repeated, "0")
  return 0
end
refresh(flag, ttl_ms)
remember(op, sequence, remember_ms, "1")
return 1
