-- kv_set_if_absent: set a key to 1, if it is not there.
--
-- KEYS   flag         string: 1                              coord:kv:{key}
--        op           string, expiring: sequence|answer       coord:kv:{key}:op:<op_id>
-- ARGV   ttl_ms       ms?     how long to keep it from now; 0: it never expires
--        sequence     count   the call on that id whose answer it is; 0: the only one
--        remember_ms  ms?     how long to remember the operation id; 0: it has none
-- REPLY  1 when it was absent, else 0
-- ERRORS none
-- COST   O(1), one write when absent, and one more with an operation id
-- REPEAT remembered: the first answer again

local flag, op = KEYS[1], KEYS[2]
local ttl_ms, sequence, remember_ms = ARGV[1], ARGV[2], ARGV[3]

-- include: recall
-- include: refresh
-- include: remember

if recall(op, sequence, remember_ms) then
  return 1
end
if redis.call("SETNX", flag, "1") == 0 then
  return 0
end
refresh(flag, ttl_ms)
remember(op, sequence, remember_ms, "1")
return 1
