-- peek: look at the counts of one id.
--
-- KEYS   stats    hash: field to count                       coord:stats:{id}:<name>
-- ARGV   none
-- REPLY  {field, count, ...}; empty when the id was never merged
-- ERRORS WRONGTYPE
-- COST   O(fields), no write
-- REPEAT safe: it changes nothing

local stats = KEYS[1]

return redis.pcall("HGETALL", stats)
