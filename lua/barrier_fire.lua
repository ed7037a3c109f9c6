-- barrier_fire: let one of all that watch a barrier run its callback.
--
-- KEYS   barrier  hash: its state                            coord:barrier:{name}
-- ARGV   attempt  str     the attempt that ended
--        nonce    name    made for this watcher
-- REPLY  1 for the first watcher of the attempt, else 0
-- ERRORS WRONGTYPE
-- COST   O(1), one write when first
-- REPEAT safe: the watcher that was first is answered 1 again

local barrier = KEYS[1]
local attempt, nonce = ARGV[1], ARGV[2]

local has = redis.pcall("HMGET", barrier, "attempt", "fired")
if has.err then
  return has
end
if has[1] ~= attempt or not has[1] then
  return 0
end
if not has[2] then
  redis.call("HSET", barrier, "fired", nonce)
  return 1
end
return has[2] == nonce and 1 or 0
