-- kv_expire: give a key another TTL.
--
-- KEYS   entity   string: or a set, or a list                coord:kv:{key}
-- ARGV   ttl_ms   ms?     how long to keep it from now; 0: it never expires
-- REPLY  1 when there is such a key, else 0
-- ERRORS none
-- COST   O(1), one write
-- REPEAT safe: it is kept from the second run on

local entity = KEYS[1]
local ttl_ms = ARGV[1]

-- include: refresh

if redis.call("EXISTS", entity) == 0 then
  return 0
end
refresh(entity, ttl_ms)
return 1
