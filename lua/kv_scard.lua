-- kv_scard: how many members a set has.
--
-- KEYS   members      set: the members                         coord:kv:{key}
-- ARGV   none
-- REPLY  the number of members; 0 when there is no set
-- ERRORS WRONGTYPE
-- COST   O(1), no write
-- REPEAT safe: it changes nothing

local members = KEYS[1]

return redis.pcall("SCARD", members)
