-- request_cleanup: forget a request; who waits for it is told.
--
-- KEYS   request      hash: stages and roots                 coord:request:{id}
--        op           string, expiring: the answer given  coord:request:{id}:op:<op_id>
-- ARGV   publish      PUBLISH|SPUBLISH    how this server tells its waiters
--        sequence     count   the call on that id whose answer it is; 0: the only one
--        remember_ms  ms?     how long to remember the operation id; 0: it has none
-- REPLY  1 when it was registered, else 0
-- ERRORS none
-- COST   O(size), one write and a notice
-- REPEAT remembered: the first answer again

local request, op = KEYS[1], KEYS[2]
local publish, sequence, remember_ms = ARGV[1], ARGV[2], ARGV[3]

-- include: recall
-- include: remember

local answered = recall(op, sequence, remember_ms)
if answered then
  return tonumber(answered)
end
local removed = redis.call("DEL", request)
remember(op, sequence, remember_ms, removed)
if removed == 1 then
  redis.call(publish, request, "gone")
end
return removed
