-- claim: take a name for an owner for a while, or learn that another has it.
--
-- KEYS   claim      string, expiring: owner|nonce|fence       coord:claim:{name}
--        tombstone  string, expiring: 1 or 0  coord:claim:{name}:tombstone:<nonce>
--        answered   string, expiring: 1 or 0  coord:claim:{name}:answered:<call>
-- ARGV   owner      name    the caller; the owner of a claim gets it again
--        nonce      name    made for this attempt
--        ttl_ms     ms      how long to hold it from now
--        tombstone_ms  ms   how long an answer is kept: longer than any retry
--        repeated   0|1     1: an earlier copy of this call may still be executed
--        announce   none|PUBLISH|SPUBLISH    how to notify watchers of the name
-- REPLY  {granted, nonce, fence, left_ms}
--        granted    1 when the caller has the name now, else 0
--        nonce      the attempt that won it, or an earlier one; "" when refused
--        fence      above every fence granted before; "0" when refused
--        left_ms    how long the name stays taken
-- ERRORS WRONGTYPE, COORD_CORRUPT
-- COST   O(1), one write when granted, and one when repeated
-- REPEAT safe: the owner gets the same claim; a nonce that was released, or a call
--        that was answered before, gets none

local claim, tombstone, answered = KEYS[1], KEYS[2], KEYS[3]
local owner, nonce, ttl_ms, tombstone_ms = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local repeated, announce = ARGV[5], ARGV[6]

-- include: holding
-- include: later
-- include: answer_once

local held = redis.pcall("GET", claim)
if type(held) == "table" then
  return held
end
local holder, attempt, fence = holding(held)
if not fence then
  return redis.error_reply(
    "COORD_CORRUPT this claim was not written by coord"
  )
end
local taken = attempt ~= ""
local left_ms = taken and redis.call("PTTL", claim) or 0

if taken and holder ~= owner then
  answer_once(answered, repeated, tombstone_ms, "0")
  return { 0, "", "0", left_ms }
end
if taken then
  -- Never shorter: another lease of the same owner counts on the time it was given.
  if left_ms < tonumber(ttl_ms) then
    redis.call("PEXPIRE", claim, ttl_ms)
    left_ms = tonumber(ttl_ms)
  end
  answer_once(answered, repeated, tombstone_ms, "1")
  return { 1, attempt, fence, left_ms }
end
if redis.call("EXISTS", tombstone, answered) > 0 then
  return { 0, "", "0", 0 }
end
fence = later(fence)
redis.call("SET", claim, owner .. "|" .. nonce .. "|" .. fence, "PX", ttl_ms)
answer_once(answered, repeated, tombstone_ms, "1")
if announce ~= "none" then
  redis.call(announce, claim, "taken")
end
return { 1, nonce, fence, tonumber(ttl_ms) }
