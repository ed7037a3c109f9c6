-- kv_delete: remove a key.
--
-- KEYS   entity       string: or a set, or a list            coord:kv:{key}
--        op           string, expiring: sequence|answer       coord:kv:{key}:op:<op_id>
-- ARGV   sequence     int     the call on that id whose answer it is
--        remember_ms  ms?     how long to remember the operation id; 0: it has none
--        repeated     0|1     1: an earlier copy of this call may still be executed
-- REPLY  1 when there was such a key, else 0
-- ERRORS none
-- COST   O(1), memory is freed later; one write, and one more with an operation id
-- REPEAT remembered: the first answer again

local entity, op = KEYS[1], KEYS[2]
local sequence, remember_ms, repeated = ARGV[1], ARGV[2], ARGV[3]

-- include: recall
-- include: remember
-- include: refuse

local answered = recall(op, sequence, remember_ms)
if answered then
  return answered == "1" and 1 or 0
end
if redis.call("UNLINK", entity) == 0 then
  refuse(op, sequence, remember_ms, repeated, "0")
  return 0
end
remember(op, sequence, remember_ms, "1")
return 1
