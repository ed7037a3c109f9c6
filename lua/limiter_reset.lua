-- limiter_reset: make a limiter full again, without a penalty.
--
-- KEYS   limiter      hash, expiring: limit to TAT, penalty  coord:limiter:{name}
--        op           string, expiring: the answer  coord:limiter:{name}:op:<op_id>
-- ARGV   sequence     int     the call on that id whose answer it is
--        remember_ms  ms?     how long to remember the operation id; 0: it has none
--        repeated     0|1     1: an earlier copy of this call may still be executed
-- REPLY  "1" when there was something to reset, else "0"
-- ERRORS none
-- COST   O(1), one write, and one more with an operation id
-- REPEAT remembered: the first answer again

local limiter, op = KEYS[1], KEYS[2]
local sequence, remember_ms, repeated = ARGV[1], ARGV[2], ARGV[3]

-- include: recall
-- include: remember
-- include: refuse

local answered = recall(op, sequence, remember_ms)
if answered then
  return answered
end
if redis.call("DEL", limiter) == 0 then
  refuse(op, sequence, remember_ms, repeated, "0")
  return "0"
end
remember(op, sequence, remember_ms, "1")
return "1"
