-- request_register: begin to track the work that a request causes.
--
-- Registering it again keeps what is known.
--
-- KEYS   request  hash: stages and roots                     coord:request:{id}
-- ARGV   ttl_ms   ms?     how long to keep it after each change; 0: it never expires
-- REPLY  1
-- ERRORS WRONGTYPE
-- COST   O(1), one write
-- REPEAT safe: it is kept from the second run on

local request = KEYS[1]
local ttl_ms = ARGV[1]

-- include: refresh

local pending = redis.pcall("HGET", request, "pending")
if type(pending) == "table" then
  return pending
end
redis.call("HSET", request, "ttl_ms", ttl_ms, "pending", pending or "0")
refresh(request, ttl_ms)
return 1
