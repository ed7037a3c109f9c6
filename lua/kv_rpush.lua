-- kv_rpush: append to a list.
--
-- KEYS   values       list: what was pushed                     coord:kv:{key}
--        op           string, expiring: sequence|answer       coord:kv:{key}:op:<op_id>
-- ARGV   ttl_ms       ms?     how long to keep it from now; 0: it never expires
--        sequence     int     the call on that id whose answer it is
--        remember_ms  ms?     how long to remember the operation id; 0: it has none
--        value...     str     at least one
-- REPLY  the new length; in digits when it is a repetition
-- ERRORS WRONGTYPE
-- COST   O(values), one write a thousand, and one more with an operation id
-- REPEAT remembered: the first answer again

local values, op = KEYS[1], KEYS[2]
local ttl_ms, sequence, remember_ms = ARGV[1], ARGV[2], ARGV[3]

-- include: recall
-- include: whole
-- include: batched
-- include: refresh
-- include: remember

local answered = recall(op, sequence, remember_ms)
if answered then
  return whole(answered) and tonumber(answered) or answered
end
local length = redis.pcall("LLEN", values)
if type(length) == "table" then
  return length
end
batched("RPUSH", values, 4)
length = redis.call("LLEN", values)
refresh(values, ttl_ms)
remember(op, sequence, remember_ms, length)
return length
