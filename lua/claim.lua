-- claim: take a name for an owner for a while, or learn that another has it.
--
-- KEYS   claim      string, expiring: owner|nonce|fence       coord:claim:{name}
--        tombstone  string, expiring: 1 or 0  coord:claim:{name}:tombstone:<nonce>
-- ARGV   owner    name    who asks; the owner of a claim gets it again
--        nonce    name    made for this attempt
--        ttl_ms   ms      how long to hold it from now
-- REPLY  {granted, nonce, fence, left_ms}
--        granted  1 when the asker has the name now, else 0
--        nonce    the attempt that won it, perhaps an earlier one; "" when refused
--        fence    above every fence granted before; "0" when refused
--        left_ms  how long the name stays taken
-- ERRORS WRONGTYPE, COORD_CORRUPT
-- COST   O(1), one write when granted
-- REPEAT safe: the owner gets the same claim, and a nonce that was released gets none

local claim, tombstone = KEYS[1], KEYS[2]
local owner, nonce, ttl_ms = ARGV[1], ARGV[2], ARGV[3]

-- include: holding
-- include: later

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
  return { 0, "", "0", left_ms }
end
if taken then
  -- Never shorter: another lease of the same owner counts on the time it was given.
  if left_ms < tonumber(ttl_ms) then
    redis.call("PEXPIRE", claim, ttl_ms)
    left_ms = tonumber(ttl_ms)
  end
  return { 1, attempt, fence, left_ms }
end
if redis.call("EXISTS", tombstone) == 1 then
  return { 0, "", "0", 0 }
end
fence = later(fence)
redis.call("SET", claim, owner .. "|" .. nonce .. "|" .. fence, "PX", ttl_ms)
return { 1, nonce, fence, tonumber(ttl_ms) }
