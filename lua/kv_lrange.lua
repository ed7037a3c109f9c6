-- kv_lrange: read a part of a list.
--
-- KEYS   values   list: what was pushed                         coord:kv:{key}
-- ARGV   start    int     the first place, from 0; negative: counted from the end
--        stop     int     the last place, itself included; -1: the end
-- REPLY  {value, ...}
-- ERRORS WRONGTYPE
-- COST   O(start + values read), no write
-- REPEAT safe: it changes nothing

local values = KEYS[1]
local start, stop = ARGV[1], ARGV[2]

return redis.pcall("LRANGE", values, start, stop)
