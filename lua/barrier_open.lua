-- barrier_open: open a barrier for a number of parties; again: a new attempt.
--
-- The attempt before is kept under a key of its own: its end is still read by waiters,
-- and its answers by calls that are repeated.
--
-- KEYS   barrier      hash: its state                        coord:barrier:{name}
--        op           string, expiring: the attempt     coord:barrier:{name}:op:<op_id>
--        last         hash: the attempt before               coord:barrier:{name}:last
-- ARGV   attempt      name    an id for the new attempt
--        parties      count   how many have to arrive; at least 1
--        ttl_ms       ms?     how long to keep it after a change; 0: it never expires
--        deadline_ms  ms?     how long it stays open; 0: until it is complete
--        metadata     str     JSON that is returned with the status
--        publish      PUBLISH|SPUBLISH    how to notify the waiters
--        sequence     int     the call on that id whose answer it is
--        remember_ms  ms?     how long to remember the operation id; 0: it has none
-- REPLY  the attempt
-- ERRORS WRONGTYPE, COORD_RANGE, COORD_CORRUPT
-- COST   O(1), three writes, and two more when it was opened before
-- REPEAT remembered: the attempt that was opened, and no new one

local barrier, op, last = KEYS[1], KEYS[2], KEYS[3]
local attempt, parties, ttl_ms, deadline_ms = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local metadata, publish, sequence, remember_ms = ARGV[5], ARGV[6], ARGV[7], ARGV[8]

-- include: recall
-- include: now_ms
-- include: refresh
-- include: all_whole
-- include: remember

local answered = recall(op, sequence, remember_ms)
if answered then
  return answered
end
if tonumber(parties) < 1 or tonumber(parties) > 1000000000 then
  return redis.error_reply(
    "COORD_RANGE a barrier is opened for 1 to 1000000000 parties"
  )
end
local before = redis.pcall("HMGET", barrier, "attempt", "state", "ends", "ttl_ms")
if before.err then
  return before
end
if before[1] and not all_whole(before[3], before[4]) then
  return redis.error_reply("COORD_CORRUPT this barrier was not written by coord")
end
local now = now_ms()
if before[1] then
  if before[2] == "open" and (before[3] == "0" or now <= tonumber(before[3])) then
    -- It never ended: its waiters go on with the new attempt.
    redis.call("HSET", barrier, "state", "replaced")
  end
  redis.call("UNLINK", last)
  redis.call("RENAME", barrier, last)
  refresh(last, before[4])
else
  redis.call("UNLINK", barrier)
end
local ends = "0"
if deadline_ms ~= "0" then
  ends = string.format("%.0f", now + deadline_ms)
end
redis.call("HSET", barrier, "attempt", attempt, "parties", parties, "arrived", "0",
  "errors", "0", "state", "open", "ends", ends, "ttl_ms", ttl_ms, "metadata", metadata,
  "reason", "")
refresh(barrier, ttl_ms)
remember(op, sequence, remember_ms, attempt)
if before[1] then
  redis.call(publish, barrier, "open")
end
return attempt
