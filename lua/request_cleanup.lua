-- request_cleanup: forget a request; its waiters are notified.
--
-- KEYS   request      hash: stages and roots                 coord:request:{id}
--        op           string, expiring: the answer given  coord:request:{id}:op:<op_id>
--        ended        string, expiring: 1                    coord:request:{id}:ended
-- ARGV   publish      PUBLISH|SPUBLISH    how to notify the waiters
--        tombstone_ms  ms     how long waiters can learn that it was cleaned up
--        sequence     int     the call on that id whose answer it is
--        remember_ms  ms?     how long to remember the operation id; 0: it has none
--        repeated     0|1     1: an earlier copy of this call may still be executed
-- REPLY  1 when it was registered, else 0
-- ERRORS none
-- COST   O(1), the server frees the memory later; two writes and a notification
-- REPEAT remembered: the first answer again

local request, op, ended = KEYS[1], KEYS[2], KEYS[3]
local publish, tombstone_ms, sequence, remember_ms = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local repeated = ARGV[5]

-- include: recall
-- include: remember
-- include: refuse

local answered = recall(op, sequence, remember_ms)
if answered then
  return answered == "1" and 1 or 0
end
if redis.call("UNLINK", request) == 0 then
  refuse(op, sequence, remember_ms, repeated, "0")
  return 0
end
redis.call("SET", ended, "1", "PX", tombstone_ms)
remember(op, sequence, remember_ms, "1")
redis.call(publish, request, "gone")
return 1
