-- quota_held: whether a reservation is held at present.
--
-- KEYS   reservation  hash, expiring: its state  coord:quota:{name}:reservation:<id>
-- ARGV   nonce        name    the attempt that made it
-- REPLY  1 when it is held, else 0
-- ERRORS WRONGTYPE, COORD_CORRUPT
-- COST   O(1), no write
-- REPEAT safe: it changes nothing

local reservation = KEYS[1]
local nonce = ARGV[1]

-- include: now_ms
-- include: whole

local now = now_ms()
local has = redis.pcall("HMGET", reservation, "state", "nonce", "deadline")
if has.err then
  return has
end
if has[1] ~= "held" or has[2] ~= nonce then
  return 0
end
if not whole(has[3] or "") then
  return redis.error_reply("COORD_CORRUPT this reservation was not written by coord")
end
return tonumber(has[3]) > now and 1 or 0
