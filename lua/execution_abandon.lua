-- execution_abandon: end an attempt without a result, and wake one who will run it.
--
-- A record stays: nothing runs, and the fence keeps growing.
--
-- KEYS   execution  hash, expiring: its state             coord:execution:{key}
--        tombstone  string, expiring: its end coord:execution:{key}:tombstone:<attempt>
-- ARGV   attempt    name    the attempt that runs, or may yet run
--        tombstone_ms  ms   how long it stays refused: longer than any retry
--        publish    PUBLISH|SPUBLISH    how to notify the waiters
-- REPLY  1 when the attempt ran until now, else 0
-- ERRORS WRONGTYPE, COORD_CORRUPT
-- COST   O(1), three writes and a notification when abandoned, else two writes
-- REPEAT safe: the tombstone gives the first answer

local execution, tombstone = KEYS[1], KEYS[2]
local attempt, tombstone_ms, publish = ARGV[1], ARGV[2], ARGV[3]

-- include: recorded
-- include: set_free

local has = recorded(execution)
if has.err then
  return has
end
if has[1] == "running" and has[2] == attempt then
  set_free(execution, tombstone_ms)
  redis.call("SET", tombstone, "free", "PX", tombstone_ms)
  redis.call(publish, execution, "free")
  return 1
end
local ended = redis.call("GET", tombstone)
if not ended then
  redis.call("DEL", tombstone)
  redis.call("SET", tombstone, "none", "PX", tombstone_ms)
end
return ended == "free" and 1 or 0
