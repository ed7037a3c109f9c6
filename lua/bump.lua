-- bump: make a new version, above every one before.
--
-- KEYS   version      string: the newest version             coord:version:{name}
--        op           string, expiring: the answer      coord:version:{name}:op:<op_id>
-- ARGV   ttl_ms       ms?     how long to keep it from now; 0: it never expires
--        sequence     int     the call on that id whose answer it is
--        remember_ms  ms?     how long to remember the operation id; 0: it has none
-- REPLY  the new version, in digits
-- ERRORS WRONGTYPE, COORD_CORRUPT
-- COST   O(1), one write, and one more with an operation id
-- REPEAT remembered: the first answer again

local version, op = KEYS[1], KEYS[2]
local ttl_ms, sequence, remember_ms = ARGV[1], ARGV[2], ARGV[3]

-- include: whole
-- include: later
-- include: first_answer

local newest = redis.pcall("GET", version)
if type(newest) == "table" then
  return newest
end
if newest and not whole(newest) then
  return redis.error_reply(
    "COORD_CORRUPT this version was not written by coord"
  )
end
newest = later(newest)
local answered = first_answer(op, sequence, remember_ms, newest)
if answered then
  return answered
end
if ttl_ms == "0" then
  redis.call("SET", version, newest)
else
  redis.call("SET", version, newest, "PX", ttl_ms)
end
return newest
