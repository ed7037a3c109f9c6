-- barrier_abort: end a barrier that is open; nobody arrives any more.
--
-- KEYS   barrier  hash: its state                            coord:barrier:{name}
-- ARGV   reason   str     why
--        nonce    name    made for this call
--        publish  PUBLISH|SPUBLISH    how this server tells its waiters
-- REPLY  1 when it was open until now, else 0
-- ERRORS WRONGTYPE
-- COST   O(1), one write and a notice when it was open
-- REPEAT safe: the nonce that aborted it is answered 1 again

local barrier = KEYS[1]
local reason, nonce, publish = ARGV[1], ARGV[2], ARGV[3]

-- include: now_ms
-- include: refresh

local has = redis.pcall("HMGET", barrier, "state", "ends", "ttl_ms", "aborted")
if has.err then
  return has
end
if has[4] == nonce then
  return 1
end
if has[1] ~= "open" or has[2] ~= "0" and now_ms() > tonumber(has[2]) then
  return 0
end
redis.call("HSET", barrier, "state", "aborted", "reason", reason, "aborted", nonce)
refresh(barrier, has[3])
redis.call(publish, barrier, "aborted")
return 1
