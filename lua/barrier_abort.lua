-- barrier_abort: end a barrier that is open; no member arrives any more.
--
-- KEYS   barrier   hash: its state                           coord:barrier:{name}
--        last      hash: the attempt before                  coord:barrier:{name}:last
--        answered  string, expiring: 1 or 0  coord:barrier:{name}:answered:<call>
-- ARGV   reason    str     why
--        nonce     name    the operation id
--        publish   PUBLISH|SPUBLISH    how to notify the waiters
--        tombstone_ms  ms  how long an answer is kept: longer than any retry
--        repeated  0|1     1: an earlier copy of this call may still be executed
-- REPLY  1 when it was open until now, else 0
-- ERRORS WRONGTYPE, COORD_CORRUPT
-- COST   O(1), one write and a notification when it was open
-- REPEAT safe: the nonce that aborted this attempt, or the one before, is answered 1

local barrier, last, answered = KEYS[1], KEYS[2], KEYS[3]
local reason, nonce, publish, tombstone_ms = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local repeated = ARGV[5]

-- include: now_ms
-- include: refresh
-- include: all_whole
-- include: answer_once

local before = redis.call("GET", answered)
if before then
  return before == "1" and 1 or 0
end
local has = redis.pcall("HMGET", barrier, "state", "ends", "ttl_ms", "aborted")
if has.err then
  return has
end
if has[4] == nonce then
  return 1
end
if redis.call("HGET", last, "aborted") == nonce then
  answer_once(answered, repeated, tombstone_ms, "1")
  return 1
end
if has[1] and not all_whole(has[2], has[3]) then
  return redis.error_reply("COORD_CORRUPT this barrier was not written by coord")
end
if has[1] ~= "open" or has[2] ~= "0" and now_ms() > tonumber(has[2]) then
  answer_once(answered, repeated, tombstone_ms, "0")
  return 0
end
redis.call("HSET", barrier, "state", "aborted", "reason", reason, "aborted", nonce)
refresh(barrier, has[3])
answer_once(answered, repeated, tombstone_ms, "1")
redis.call(publish, barrier, "aborted")
return 1
