-- version: the newest version there is.
--
-- KEYS   version  string: the newest version                 coord:version:{name}
-- ARGV   none
-- REPLY  the version, in digits; "0" when there is none
-- ERRORS WRONGTYPE
-- COST   O(1), no write
-- REPEAT safe: it changes nothing

local version = KEYS[1]

local newest = redis.pcall("GET", version)
if type(newest) == "table" then
  return newest
end
return newest or "0"
