-- once: be the first to ask for a name within its window, or learn that another was.
--
-- KEYS   once     string, expiring: the nonce of the first    coord:once:{name}
-- ARGV   nonce    name    made for this attempt
--        ttl_ms   ms      how long the window stays shut
-- REPLY  1 for the attempt that was first, else 0
-- ERRORS WRONGTYPE
-- COST   O(1), one write when first
-- REPEAT safe: the same nonce is answered 1 again

local once = KEYS[1]
local nonce, ttl_ms = ARGV[1], ARGV[2]

local first = redis.pcall("GET", once)
if type(first) == "table" then
  return first
end
if first then
  return first == nonce and 1 or 0
end
redis.call("SET", once, nonce, "PX", ttl_ms)
return 1
