-- kv_srem: take members out of a set.
--
-- KEYS   members      set: the members                     coord:kv:{key}
--        op           string, expiring: sequence|answer       coord:kv:{key}:op:<op_id>
-- ARGV   ttl_ms       ms?     how long to keep it from now; 0: it never expires
--        sequence     int     the call on that id whose answer it is
--        remember_ms  ms?     how long to remember the operation id; 0: it has none
--        repeated     0|1     1: an earlier copy of this call may still be executed
--        member...    str     at least one
-- REPLY  the number of members that were there; in digits when it is a repetition
-- ERRORS WRONGTYPE
-- COST   O(members), one write a thousand, and one more with an operation id
-- REPEAT remembered: the first answer again

local members, op = KEYS[1], KEYS[2]
local ttl_ms, sequence, remember_ms, repeated = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

-- include: recall
-- include: whole
-- include: batched
-- include: refresh
-- include: remember
-- include: refuse

local answered = recall(op, sequence, remember_ms)
if answered then
  return whole(answered) and tonumber(answered) or answered
end
local size = redis.pcall("SCARD", members)
if type(size) == "table" then
  return size
end
local changed = batched("SREM", members, 5)
refresh(members, ttl_ms)
if changed == 0 then
  refuse(op, sequence, remember_ms, repeated, "0")
  return 0
end
remember(op, sequence, remember_ms, changed)
return changed
