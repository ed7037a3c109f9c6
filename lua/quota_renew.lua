-- quota_renew: hold a reservation longer, if it is still held.
--
-- KEYS   reservation  hash, expiring: its state  coord:quota:{name}:reservation:<id>
--        held         zset, expiring: what is held until when   coord:quota:{name}:held
-- ARGV   nonce        name    the attempt that made it
--        ttl_ms       ms      how long to hold it from now
--        grace_ms     ms      how long after that it may still be settled
-- REPLY  1 when it was still held, else 0
-- ERRORS WRONGTYPE, COORD_CORRUPT
-- COST   O(1), four writes when renewed
-- REPEAT safe: it is held from the second run on

local reservation, held = KEYS[1], KEYS[2]
local nonce, ttl_ms, grace_ms = ARGV[1], ARGV[2], ARGV[3]

-- include: now_ms
-- include: all_whole
-- include: extend_hold

local now = now_ms()
local has = redis.pcall("HMGET", reservation, "state", "nonce", "member", "deadline",
  "keep")
if has.err then
  return has
end
if has[1] ~= "held" or has[2] ~= nonce then
  return 0
end
if not has[3] or not all_whole(has[4], has[5]) then
  return redis.error_reply("COORD_CORRUPT this reservation was not written by coord")
end
if tonumber(has[4]) <= now then
  return 0
end
return extend_hold(reservation, held, has[3], has[5], now, ttl_ms, grace_ms) or 1
