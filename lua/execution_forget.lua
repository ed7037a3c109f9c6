-- execution_forget: drop the result of a key, or the attempt that runs.
--
-- A record stays: nothing runs, and the fence keeps growing.
--
-- KEYS   execution    hash, expiring: its state             coord:execution:{key}
--        op           string, expiring: the answer  coord:execution:{key}:op:<op_id>
-- ARGV   tombstone_ms  ms     how long the last fence is kept
--        publish      PUBLISH|SPUBLISH    how to notify the waiters
--        sequence     int     the call on that id whose answer it is
--        remember_ms  ms?     how long to remember the operation id; 0: it has none
--        repeated     0|1     1: an earlier copy of this call may still be executed
-- REPLY  1 when there was a result or an attempt, else 0
-- ERRORS WRONGTYPE, COORD_CORRUPT
-- COST   O(1), two writes and a notification, and one more with an operation id
-- REPEAT remembered: the first answer again

local execution, op = KEYS[1], KEYS[2]
local tombstone_ms, publish, sequence, remember_ms = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local repeated = ARGV[5]

-- include: recall
-- include: remember
-- include: refuse
-- include: recorded
-- include: set_free

local before = recall(op, sequence, remember_ms)
if before then
  return before == "1" and 1 or 0
end
local has = recorded(execution)
if has.err then
  return has
end
if has[1] == "free" then
  refuse(op, sequence, remember_ms, repeated, "0")
  return 0
end
set_free(execution, tombstone_ms)
remember(op, sequence, remember_ms, "1")
redis.call(publish, execution, "free")
return 1
