-- once: be the first caller for a name within its window, or learn that another was.
--
-- KEYS   once         string, expiring: owner|nonce of the first   coord:once:{name}
--        answered     string, expiring: 1 or 0   coord:once:{name}:answered:<nonce>
-- ARGV   owner        str     the caller; the window's owner is first again; "": none
--        nonce        name    made for this call
--        ttl_ms       ms      how long the window lasts
--        keep_ms      ms?     how long to remember the first; 0: the window is longer
--        tombstone_ms  ms     how long to keep the answer of a repeated call
--        repeated     0|1     1: an earlier copy of this call may still be executed
-- REPLY  1 for the call that was first, and for its owner, else 0
-- ERRORS WRONGTYPE, COORD_CORRUPT
-- COST   O(1), one write when first, and one when the window is short or it is repeated
-- REPEAT safe: the same nonce is given its first answer

local once, answered = KEYS[1], KEYS[2]
local owner, nonce, ttl_ms, keep_ms = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local tombstone_ms, repeated = ARGV[5], ARGV[6]

-- include: answer_once

local held = redis.pcall("GET", once)
if type(held) == "table" then
  return held
end
local first, attempt
if held then
  first, attempt = string.match(held, "^(.*)|([^|]*)$")
  if not first then
    return redis.error_reply("COORD_CORRUPT this window was not written by coord")
  end
  if attempt == nonce or owner ~= "" and first == owner then
    answer_once(answered, repeated, tombstone_ms, "1")
    return 1
  end
  if repeated == "0" then
    return 0
  end
end
-- The answer to a call whose own window is over, or to a late copy.
local before = redis.call("GET", answered)
if before then
  return before == "1" and 1 or 0
end
if held then
  answer_once(answered, repeated, tombstone_ms, "0")
  return 0
end
redis.call("SET", once, owner .. "|" .. nonce, "PX", ttl_ms)
if keep_ms ~= "0" then
  redis.call("SET", answered, "1", "PX", keep_ms)
end
answer_once(answered, repeated, tombstone_ms, "1")
return 1
