-- semaphore_held: return how long a permit is still held.
--
-- KEYS   semaphore  zset, expiring: permits by deadline    coord:semaphore:{name}
-- ARGV   permit   str     its member: nonce|weight|fence|owner
-- REPLY  {held, left_ms}
--        held     1 when it is held, else 0
--        left_ms  how long, unless it is renewed
-- ERRORS WRONGTYPE
-- COST   O(log permits), no write
-- REPEAT safe: it changes nothing

local semaphore = KEYS[1]
local permit = ARGV[1]

-- include: now_ms
-- include: at_ms

local deadline = redis.pcall("ZSCORE", semaphore, permit)
if type(deadline) == "table" then
  return deadline
end
local now = now_ms()
if not deadline or tonumber(deadline) < now then
  return { 0, 0 }
end
return { 1, at_ms(deadline) - now }
