-- kv_rpush: append to a list.
--
-- KEYS   values       list: what was pushed                     coord:kv:{key}
--        op           string, expiring: the answer given     coord:kv:{key}:op:<op_id>
-- ARGV   ttl_ms       ms?     how long to keep it from now; 0: it never expires
--        remember_ms  ms?     how long to remember the operation id; 0: it has none
--        value...     str     at least one
-- REPLY  the new length
-- ERRORS WRONGTYPE
-- COST   O(values), one write a thousand, and one more with an operation id
-- REPEAT remembered: the first answer again

local values, op = KEYS[1], KEYS[2]
local ttl_ms, remember_ms = ARGV[1], ARGV[2]

-- include: recall
-- include: batched
-- include: refresh
-- include: remember

local answered = recall(op, remember_ms)
if answered then
  return tonumber(answered)
end
local length = redis.pcall("LLEN", values)
if type(length) == "table" then
  return length
end
batched("RPUSH", values, 3)
length = redis.call("LLEN", values)
refresh(values, ttl_ms)
remember(op, remember_ms, length)
return length
