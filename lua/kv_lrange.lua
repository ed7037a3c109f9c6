-- kv_lrange: read a part of a list, of at most 100,000 values.
--
-- KEYS   values   list: what was pushed                         coord:kv:{key}
-- ARGV   start    int     the first place, from 0; negative: counted from the end
--        stop     int     the last place, itself included; -1: the end
-- REPLY  {value, ...}
-- ERRORS WRONGTYPE, COORD_RANGE
-- COST   O(start + values read), no write
-- REPEAT safe: it changes nothing

local values = KEYS[1]
local start, stop = ARGV[1], ARGV[2]

local length = redis.pcall("LLEN", values)
if type(length) == "table" then
  return length
end
local first, last = tonumber(start), tonumber(stop)
first = math.max(first < 0 and first + length or first, 0)
last = math.min(last < 0 and last + length or last, length - 1)
if last - first >= 100000 then
  return redis.error_reply(
    "COORD_RANGE more than 100000 values: read them in parts, by start and stop"
  )
end
return redis.call("LRANGE", values, start, stop)
