-- request_register: begin to track the work that a request causes.
--
-- Registering it again keeps what is known.
--
-- KEYS   request  hash: stages and roots                     coord:request:{id}
--        ended    string, expiring: 1                        coord:request:{id}:ended
-- ARGV   ttl_ms   ms?     how long to keep it after each change; 0: it never expires
-- REPLY  1
-- ERRORS WRONGTYPE
-- COST   O(1), one write, and one more when new
-- REPEAT safe: it is kept from the second run on

local request, ended = KEYS[1], KEYS[2]
local ttl_ms = ARGV[1]

-- include: refresh

local has = redis.pcall("HMGET", request, "pending", "stages")
if has.err then
  return has
end
if not has[1] then
  redis.call("DEL", ended)
end
redis.call("HSET", request, "ttl_ms", ttl_ms, "pending", has[1] or "0",
  "stages", has[2] or "0")
refresh(request, ttl_ms)
return 1
