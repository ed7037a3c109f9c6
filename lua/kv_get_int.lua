-- kv_get_int: read a number.
--
-- KEYS   number   string: a 64-bit integer                   coord:kv:{key}
-- ARGV   none
-- REPLY  {} when there is none, else {number in digits}
-- ERRORS WRONGTYPE
-- COST   O(1), no write
-- REPEAT safe: it changes nothing

local number = KEYS[1]

local value = redis.pcall("GET", number)
if type(value) == "table" then
  return value
end
return { value or nil }
