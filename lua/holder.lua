-- holder: return the holder of a name.
--
-- KEYS   claim    string, expiring: owner|nonce|fence         coord:claim:{name}
-- ARGV   none
-- REPLY  {owner, fence, left_ms}
--        owner    "" when it is free
--        fence    the fence of the claim, or the last one of a free name
--        left_ms  how long it stays taken; 0 when it is free
-- ERRORS WRONGTYPE, COORD_CORRUPT
-- COST   O(1), no write
-- REPEAT safe: it changes nothing

local claim = KEYS[1]

-- include: holding

local held = redis.pcall("GET", claim)
if type(held) == "table" then
  return held
end
local owner, attempt, fence = holding(held)
if not fence then
  return redis.error_reply(
    "COORD_CORRUPT this claim was not written by coord"
  )
end
if attempt == "" then
  return { "", fence, 0 }
end
return { owner, fence, redis.call("PTTL", claim) }
