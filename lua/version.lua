-- version: the newest version there is.
--
-- KEYS   version  string: the newest version                 coord:version:{name}
-- ARGV   none
-- REPLY  the version, in digits; "0" when there is none
-- ERRORS WRONGTYPE, COORD_CORRUPT
-- COST   O(1), no write
-- REPEAT safe: it changes nothing

local version = KEYS[1]

-- include: whole

local newest = redis.pcall("GET", version)
if type(newest) == "table" then
  return newest
end
if newest and not whole(newest) then
  return redis.error_reply(
    "COORD_CORRUPT this version was not written by coord"
  )
end
return newest or "0"
