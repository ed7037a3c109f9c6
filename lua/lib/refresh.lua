-- refresh: give a key its full TTL again; 0 ms: it never expires.
local function refresh(key, ttl_ms)
  if ttl_ms == "0" then
    redis.call("PERSIST", key)
  else
    redis.call("PEXPIRE", key, ttl_ms)
  end
end
