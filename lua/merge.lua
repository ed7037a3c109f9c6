-- merge: add deltas to the counts of one id, all of them or none.
--
-- KEYS   stats        hash: field to count                   coord:stats:{id}:<name>
--        op           string, expiring: a mark      coord:stats:{id}:<name>:op:<op_id>
-- ARGV   ttl_ms       ms?     how long to keep it from now; 0: it never expires
--        sequence     int     the call on that id whose answer it is
--        remember_ms  ms?     how long to remember the operation id; 0: it has none
--        repeated     0|1     1: an earlier copy of this call may still be executed
--        field...     name    a count's name, each once
--        delta...     int     what to add to it
-- REPLY  1
-- ERRORS WRONGTYPE, COORD_OVERFLOW, COORD_CORRUPT
-- COST   O(fields), one write for 500 fields, and one more with an operation id
-- REPEAT remembered: nothing is added again

local stats, op = KEYS[1], KEYS[2]
local ttl_ms, sequence, remember_ms, repeated = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

-- include: recall
-- include: int64
-- include: add
-- include: refresh
-- include: remember
-- include: refuse

local function overflow()
  return redis.error_reply(
    "COORD_OVERFLOW a count would overflow 64 bits; nothing was merged"
  )
end
local answered = recall(op, sequence, remember_ms)
if answered then
  return answered == "" and overflow() or 1
end
-- The field without a name marks an id as merged that was given no delta.
local counts = { "", "1" }
for i = 5, #ARGV, 2 do
  local count = redis.pcall("HGET", stats, ARGV[i])
  if type(count) == "table" then
    return count
  end
  if count and not int64(count) then
    return redis.error_reply(
      "COORD_CORRUPT a count is not a 64-bit integer"
    )
  end
  local sum = add(count or "0", ARGV[i + 1])
  if not sum then
    local refused = overflow()
    refuse(op, sequence, remember_ms, repeated, "")
    return refused
  end
  counts[i - 2], counts[i - 1] = ARGV[i], sum
end
-- unpack fails near 8,000 values.
for i = 1, #counts, 1000 do
  local done = redis.pcall("HSET", stats, unpack(counts, i, math.min(i + 999, #counts)))
  if type(done) == "table" then
    return done
  end
end
refresh(stats, ttl_ms)
remember(op, sequence, remember_ms, "1")
return 1
