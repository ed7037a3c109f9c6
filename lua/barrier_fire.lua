-- barrier_fire: let one of all that watch a barrier run its callback.
--
-- KEYS   barrier  hash: its state                            coord:barrier:{name}
--        last     hash: the attempt before                   coord:barrier:{name}:last
-- ARGV   attempt  str     the attempt that ended, this one or the last
--        nonce    name    made for this watcher
-- REPLY  1 for the first watcher of the attempt, else 0
-- ERRORS WRONGTYPE
-- COST   O(1), one write when first
-- REPEAT safe: the watcher that was first is answered 1 again

local barrier, last = KEYS[1], KEYS[2]
local attempt, nonce = ARGV[1], ARGV[2]

local function fire(hash, fired)
  if not fired then
    redis.call("HSET", hash, "fired", nonce)
    return 1
  end
  return fired == nonce and 1 or 0
end

local has = redis.pcall("HMGET", barrier, "attempt", "fired")
if has.err then
  return has
end
if has[1] == attempt then
  return fire(barrier, has[2])
end
has = redis.call("HMGET", last, "attempt", "fired")
if has[1] == attempt then
  return fire(last, has[2])
end
return 0
