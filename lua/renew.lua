-- renew: hold a claim longer, if it is still the caller's.
--
-- KEYS   claim    string, expiring: owner|nonce|fence         coord:claim:{name}
-- ARGV   nonce    name    the attempt that won it
--        ttl_ms   ms      how long to hold it from now
-- REPLY  {renewed, fence}
--        renewed  1 when the caller still held it, else 0
--        fence    the fence of the caller's claim, "0" when not renewed
-- ERRORS WRONGTYPE, COORD_CORRUPT
-- COST   O(1), one write when renewed
-- REPEAT safe: it is held from the second run on

local claim = KEYS[1]
local nonce, ttl_ms = ARGV[1], ARGV[2]

-- include: holding

local held = redis.pcall("GET", claim)
if type(held) == "table" then
  return held
end
local _, attempt, fence = holding(held)
if not fence then
  return redis.error_reply("COORD_CORRUPT this claim was not written by coord")
end
if attempt ~= nonce then
  return { 0, "0" }
end
redis.call("PEXPIRE", claim, ttl_ms)
return { 1, fence }
