-- merge: add deltas to the counts of one id, all of them or none.
--
-- KEYS   stats        hash: field to count                   coord:stats:{id}:<name>
--        op           string, expiring: a mark      coord:stats:{id}:<name>:op:<op_id>
-- ARGV   ttl_ms       ms?     how long to keep it from now; 0: it never expires
--        sequence     count   the call on that id whose answer it is; 0: the only one
--        remember_ms  ms?     how long to remember the operation id; 0: it has none
--        field...     name    a count's name, each once
--        delta...     int     what to add to it
-- REPLY  1
-- ERRORS WRONGTYPE, COORD_OVERFLOW, COORD_CORRUPT
-- COST   O(fields), one write each 500, and one more with an operation id
-- REPEAT remembered: nothing is added again

local stats, op = KEYS[1], KEYS[2]
local ttl_ms, sequence, remember_ms = ARGV[1], ARGV[2], ARGV[3]

-- include: recall
-- include: add
-- include: refresh
-- include: remember

if recall(op, sequence, remember_ms) then
  return 1
end
-- The field without a name marks an id as merged that was given no delta.
local counts = { "", "1" }
for i = 4, #ARGV, 2 do
  local count = redis.pcall("HGET", stats, ARGV[i])
  if type(count) == "table" then
    return count
  end
  if count and not string.find(count, "^%-?%d+$") then
    return redis.error_reply(
      "COORD_CORRUPT a count is not a whole number"
    )
  end
  local sum = add(count or "0", ARGV[i + 1])
  if not sum then
    return redis.error_reply(
      "COORD_OVERFLOW a count would leave 64 bits; nothing was merged"
    )
  end
  counts[i - 1], counts[i] = ARGV[i], sum
end
for i = 1, #counts, 1000 do
  local last = math.min(i + 999, #counts)
  local done = redis.pcall("HSET", stats, unpack(counts, i, last))
  if type(done) == "table" then
    return done
  end
end
refresh(stats, ttl_ms)
remember(op, sequence, remember_ms, "1")
return 1
