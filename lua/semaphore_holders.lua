-- semaphore_holders: return the permits that are held, those that end first in front.
--
-- KEYS   semaphore  zset, expiring: permits by deadline    coord:semaphore:{name}
-- ARGV   none
-- REPLY  {owner, fence, weight, left_ms, ...}
--        owner    its owner
--        fence    its fence
--        weight   how much it weighs, in digits
--        left_ms  how long it is held, unless it is renewed
-- ERRORS WRONGTYPE
-- COST   O(permits), no write
-- REPEAT safe: it changes nothing

local semaphore = KEYS[1]

-- include: now_ms
-- include: at_ms

local now = now_ms()
local held = redis.pcall(
  "ZRANGE", semaphore, string.format("%.0f", now), "+inf", "BYSCORE", "WITHSCORES"
)
if held.err then
  return held
end
local reply = {}
for i = 1, #held, 2 do
  local weight, fence, owner = string.match(
    held[i], "^[^|=]+|([0-9]+)|([0-9]+)|(.*)$"
  )
  if owner then
    reply[#reply + 1] = owner
    reply[#reply + 1] = fence
    reply[#reply + 1] = weight
    reply[#reply + 1] = at_ms(held[i + 1]) - now
  end
end
return reply
