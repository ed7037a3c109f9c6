-- barrier_fire: let one of all that watch a barrier run its callback.
--
-- KEYS   barrier  hash: its state                            coord:barrier:{name}
-- ARGV   attempt  str     the attempt that ended, this one or the last
--        nonce    name    made for this watcher
-- REPLY  1 for the first watcher of the attempt, else 0
-- ERRORS WRONGTYPE
-- COST   O(1), one write when first
-- REPEAT safe: the watcher that was first is answered 1 again

local barrier = KEYS[1]
local attempt, nonce = ARGV[1], ARGV[2]

local has = redis.pcall("HMGET", barrier, "attempt", "fired", "last_attempt",
  "last_fired")
if has.err then
  return has
end
local field, fired
if has[1] == attempt then
  field, fired = "fired", has[2]
elseif has[3] == attempt then
  field, fired = "last_fired", has[4]
else
  return 0
end
if not fired then
  redis.call("HSET", barrier, field, nonce)
  return 1
end
return fired == nonce and 1 or 0
