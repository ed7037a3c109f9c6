-- barrier_status: how far a barrier has come.
--
-- KEYS   barrier   hash: its state                           coord:barrier:{name}
--        last      hash: the attempt before                  coord:barrier:{name}:last
-- ARGV   seen      str     the attempt that is waited for: when it is over, the one
--                          before this one if it ended; while one is open, its
--                          metadata and errors are left out; "": all of this one
-- REPLY  {attempt, parties, arrived, state, left_ms, metadata, reason, errors,
--          member, message, ...}; {} when unknown
--        state     open, complete, aborted, or expired: open past its deadline
--        left_ms   how long it stays open; -1: without a deadline
--        errors    how many have failed; the first hundred follow with their messages
-- ERRORS WRONGTYPE, COORD_CORRUPT
-- COST   O(errors kept), no write; O(1) for a waiter while it is open
-- REPEAT safe: it changes nothing

local barrier, last = KEYS[1], KEYS[2]
local seen = ARGV[1]

-- include: now_ms
-- include: all_whole
-- include: kept_errors

local fields = { "attempt", "parties", "arrived", "state", "ends", "errors" }
local has = redis.pcall("HMGET", barrier, unpack(fields))
if has.err or not has[1] then
  return has.err and has or {}
end
local found = barrier
if seen ~= "" and seen ~= has[1] then
  local before = redis.call("HMGET", last, unpack(fields))
  if before[1] and before[4] ~= "replaced" then
    found, has = last, before
  end
end
if not all_whole(has[2], has[3], has[5], has[6]) then
  return redis.error_reply("COORD_CORRUPT this barrier was not written by coord")
end
local state, left_ms = has[4], -1
if has[5] ~= "0" then
  left_ms = has[5] - now_ms()
  if state == "open" and left_ms < 0 then
    state = "expired"
  end
  left_ms = math.max(left_ms, 0)
end
local parties, arrived, errors = tonumber(has[2]), tonumber(has[3]), tonumber(has[6])
if seen ~= "" and state == "open" then
  return { has[1], parties, arrived, state, left_ms, "", "", errors }
end
local texts = redis.call("HMGET", found, "metadata", "reason")
if not texts[1] or not texts[2] then
  return redis.error_reply("COORD_CORRUPT this barrier was not written by coord")
end
local reply = { has[1], parties, arrived, state, left_ms, texts[1], texts[2], errors }
kept_errors(found, "errors", has[6], reply)
return reply
