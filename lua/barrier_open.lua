-- barrier_open: open a barrier for a number of parties; opening again starts anew.
-- An attempt that has ended is kept beside the next one: some have yet to look at it.
--
-- KEYS   barrier      hash: its state                        coord:barrier:{name}
--        op           string, expiring: the attempt     coord:barrier:{name}:op:<op_id>
-- ARGV   attempt      name    an id for the new attempt
--        parties      count   how many have to arrive; at least 1
--        ttl_ms       ms?     how long to keep it after a change; 0: it never expires
--        deadline_ms  ms?     how long it stays open; 0: until it is complete
--        metadata     str     whatever the opener wants to find again
--        publish      PUBLISH|SPUBLISH    how this server tells its waiters
--        sequence     count   the call on that id whose answer it is; 0: the only one
--        remember_ms  ms?     how long to remember the operation id; 0: it has none
-- REPLY  the attempt
-- ERRORS WRONGTYPE, COORD_RANGE
-- COST   O(members of the attempt before), two writes; one more when that had ended
-- REPEAT remembered: the attempt that was opened, and no new one

local barrier, op = KEYS[1], KEYS[2]
local attempt, parties, ttl_ms, deadline_ms = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local metadata, publish, sequence, remember_ms = ARGV[5], ARGV[6], ARGV[7], ARGV[8]

-- include: recall
-- include: now_ms
-- include: refresh
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
local kept = { "attempt", "parties", "arrived", "state", "ends", "metadata", "reason",
  "errors", "fired" }
local before = redis.pcall("HMGET", barrier, unpack(kept))
if before.err then
  return before
end
local last = {}
local now = now_ms()
local open = before[4] == "open" and (before[5] == "0" or now <= tonumber(before[5]))
if before[1] and not open then
  for i = 1, math.min(tonumber(before[8]), 100) do
    kept[9 + i] = "errors:" .. i
    before[9 + i] = redis.call("HGET", barrier, kept[9 + i])
  end
  for i = 1, #kept do
    if before[i] then
      last[#last + 1] = "last_" .. kept[i]
      last[#last + 1] = before[i]
    end
  end
end
local ends = "0"
if deadline_ms ~= "0" then
  ends = string.format("%.0f", now + deadline_ms)
end
redis.call("DEL", barrier)
redis.call("HSET", barrier, "attempt", attempt, "parties", parties, "arrived", "0",
  "errors", "0", "state", "open", "ends", ends, "ttl_ms", ttl_ms, "metadata", metadata,
  "reason", "")
if #last > 0 then
  redis.call("HSET", barrier, unpack(last))
end
refresh(barrier, ttl_ms)
remember(op, sequence, remember_ms, attempt)
if before[1] then
  redis.call(publish, barrier, "open")
end
return attempt
