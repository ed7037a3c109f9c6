-- kv_expire: give a key another TTL.
--
-- KEYS   entity    string: or a set, or a list               coord:kv:{key}
--        answered  string, expiring: 1 or 0      coord:kv:{key}:answered:<call>
-- ARGV   ttl_ms    ms?     how long to keep it from now; 0: it never expires
--        tombstone_ms  ms  how long an answer is kept: longer than any retry
--        repeated  0|1     1: an earlier copy of this call may still be executed
-- REPLY  1 when there is such a key, else 0
-- ERRORS none
-- COST   O(1), one write
-- REPEAT safe: it is kept from the second run on

local entity, answered = KEYS[1], KEYS[2]
local ttl_ms, tombstone_ms, repeated = ARGV[1], ARGV[2], ARGV[3]

-- include: refresh
-- include: answer_once

local before = redis.call("GET", answered)
if before then
  return before == "1" and 1 or 0
end
if redis.call("EXISTS", entity) == 0 then
  answer_once(answered, repeated, tombstone_ms, "0")
  return 0
end
refresh(entity, ttl_ms)
answer_once(answered, repeated, tombstone_ms, "1")
return 1
