-- semaphore_release: give a permit back, if it is still the caller's, and wake waiters.
--
-- KEYS   semaphore  zset, expiring: permits by deadline    coord:semaphore:{name}
--        tombstone  string, expiring: by  coord:semaphore:{name}:tombstone:<nonce>
-- ARGV   nonce    name    the attempt that won it, or may yet win it
--        by       name    which object of that permit releases it
--        permit   str     its member: nonce|weight|fence|owner; "": it is not known
--        tombstone_ms  ms    how long the nonce stays refused: longer than any retry
--        publish  PUBLISH|SPUBLISH    how to notify the waiters
-- REPLY  1 when the caller held it until now, else 0; another object of the permit
--        that has released it gets 0
-- ERRORS WRONGTYPE, COORD_CORRUPT
-- COST   O(log permits), O(permits) when only the nonce is known; five writes and a
--        notification when released, else two writes
-- REPEAT safe: the tombstone gives the same object its first answer

local semaphore, tombstone = KEYS[1], KEYS[2]
local nonce, by, permit = ARGV[1], ARGV[2], ARGV[3]
local tombstone_ms, publish = ARGV[4], ARGV[5]

-- include: whole
-- include: now_ms
-- include: outlive

local has = redis.pcall("ZMSCORE", semaphore, "used", permit)
if has.err then
  return has
end
local used = string.match(has[1] or "0", "^%-?(%d+)$")
if not used or not whole(used) then
  return redis.error_reply("COORD_CORRUPT this semaphore was not written by coord")
end
local now = now_ms()
local held = {}
if permit == "" then
  held = redis.call("ZRANGE", semaphore, string.format("%.0f", now), "+inf", "BYSCORE")
elseif has[2] and tonumber(has[2]) >= now then
  held = { permit }
end
for _, member in ipairs(held) do
  local attempt, weight, owner = string.match(member, "^([^|=]+)|(%d+)|%d+|(.*)$")
  if attempt == nonce then
    -- First a write that takes no memory: a full server then lets the others pass.
    redis.call("ZREM", semaphore, member, "=" .. owner)
    redis.call("ZADD", semaphore, string.format("%d", weight - used), "used")
    -- The members that stay keep the fence growing.
    outlive(semaphore, now + tombstone_ms)
    redis.call("SET", tombstone, by, "PX", tombstone_ms)
    redis.call(publish, semaphore, "free")
    return 1
  end
end
local answer = redis.call("GET", tombstone)
if answer then
  return answer == by and 1 or 0
end
redis.call("DEL", tombstone)
redis.call("SET", tombstone, "", "PX", tombstone_ms)
return 0
