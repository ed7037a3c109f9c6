-- bump_if_current: make a new version, if the caller knows the newest one.
--
-- KEYS   version      string: the newest version             coord:version:{name}
--        op           string, expiring: the answer      coord:version:{name}:op:<op_id>
-- ARGV   known        count   the version the caller knows; 0: none
--        ttl_ms       ms?     how long to keep it from now; 0: it never expires
--        sequence     int     the call on that id whose answer it is
--        remember_ms  ms?     how long to remember the operation id; 0: it has none
--        repeated     0|1     1: an earlier copy of this call may still be executed
-- REPLY  {bumped, version}
--        bumped       1 when the caller knew the newest, else 0
--        version      the newest one now, in digits
-- ERRORS WRONGTYPE, COORD_CORRUPT
-- COST   O(1), one write when bumped, and one more with an operation id
-- REPEAT remembered: the first answer again

local version, op = KEYS[1], KEYS[2]
local known, ttl_ms, sequence, remember_ms = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local repeated = ARGV[5]

-- include: recall
-- include: whole
-- include: later
-- include: remember
-- include: refuse

local answered = recall(op, sequence, remember_ms)
if answered then
  return { string.sub(answered, 1, 1) == "1" and 1 or 0, string.sub(answered, 3) }
end
local newest = redis.pcall("GET", version)
if type(newest) == "table" then
  return newest
end
if newest and not whole(newest) then
  return redis.error_reply(
    "COORD_CORRUPT this version was not written by coord"
  )
end
newest = newest or "0"
if newest ~= known then
  refuse(op, sequence, remember_ms, repeated, "0|" .. newest)
  return { 0, newest }
end
newest = later(newest)
if ttl_ms == "0" then
  redis.call("SET", version, newest)
else
  redis.call("SET", version, newest, "PX", ttl_ms)
end
remember(op, sequence, remember_ms, "1|" .. newest)
return { 1, newest }
