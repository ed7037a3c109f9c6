-- release: free a claim, if it is still the caller's, and wake its waiters.
--
-- A record stays: the name is free, and the fence keeps growing.
--
-- KEYS   claim      string, expiring: owner|nonce|fence       coord:claim:{name}
--        tombstone  string, expiring: by  coord:claim:{name}:tombstone:<nonce>
-- ARGV   nonce    name    the attempt that won it, or may yet win it
--        by       name    which lease object of that attempt releases it
--        tombstone_ms  ms    how long the nonce stays refused: longer than any retry
--        publish  PUBLISH|SPUBLISH    how to notify the waiters
-- REPLY  1 when the caller held it until now, else 0; another object of the attempt
--        that has released it gets 0
-- ERRORS WRONGTYPE, COORD_CORRUPT
-- COST   O(1), three writes and a notification when released, else two writes
-- REPEAT safe: the tombstone gives the same object its first answer

local claim, tombstone = KEYS[1], KEYS[2]
local nonce, by, tombstone_ms, publish = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

-- include: holding

local held = redis.pcall("GET", claim)
if type(held) == "table" then
  return held
end
local _, attempt, fence = holding(held)
if not fence then
  return redis.error_reply("COORD_CORRUPT this claim was not written by coord")
end
if attempt == nonce then
  -- First a write that takes no memory: a full server then lets the others pass.
  redis.call("PEXPIRE", claim, tombstone_ms)
  redis.call("SET", tombstone, by, "PX", tombstone_ms)
  redis.call("SET", claim, "||" .. fence, "PX", tombstone_ms)
  redis.call(publish, claim, "free")
  return 1
end
local answered = redis.call("GET", tombstone)
if answered then
  return answered == by and 1 or 0
end
redis.call("DEL", tombstone)
redis.call("SET", tombstone, "", "PX", tombstone_ms)
return 0
