-- semaphore_renew: hold a permit longer, if it has not ended.
--
-- KEYS   semaphore  zset, expiring: permits by deadline    coord:semaphore:{name}
-- ARGV   permit   str     its member: nonce|weight|fence|owner
--        ttl_ms   ms      how long to hold it from now
-- REPLY  {renewed, fence}
--        renewed  1 when it was still held, else 0
--        fence    the fence of the permit, "0" when not renewed
-- ERRORS WRONGTYPE
-- COST   O(log permits), three writes when renewed
-- REPEAT safe: it is held from the second run on

local semaphore = KEYS[1]
local permit, ttl_ms = ARGV[1], ARGV[2]

-- include: now_ms
-- include: outlive

local deadline = redis.pcall("ZSCORE", semaphore, permit)
if type(deadline) == "table" then
  return deadline
end
local now = now_ms()
local fence, owner = string.match(permit, "^[^|=]+|%d+|(%d+)|(.*)$")
if not deadline or not fence or tonumber(deadline) < now then
  return { 0, "0" }
end
local ends = string.format("%.0f", now + ttl_ms)
-- First a write that takes no memory: a full server then lets the others pass.
redis.call("PEXPIREAT", semaphore, ends)
redis.call("ZADD", semaphore, ends, permit, ends, "=" .. owner)
outlive(semaphore, 0)
return { 1, fence }
