-- execution_complete: keep the result of an attempt that still runs; wake the waiters.
--
-- KEYS   execution  hash, expiring: its state             coord:execution:{key}
--        tombstone  string, expiring: its end coord:execution:{key}:tombstone:<attempt>
-- ARGV   attempt    name    the attempt
--        outcome    done|failed    what the result is: a value, or an error
--        result     str     the result that all callers get from now on
--        keep_ms    ms      how long to keep it
--        tombstone_ms  ms   how long it stays refused: longer than any retry
--        publish    PUBLISH|SPUBLISH    how to notify the waiters
-- REPLY  1 when the result was accepted, 0 when the attempt did not run any more
-- ERRORS WRONGTYPE, COORD_CORRUPT
-- COST   O(1), three writes and a notification when accepted
-- REPEAT safe: the result that is kept, or the tombstone, gives the first answer

local execution, tombstone = KEYS[1], KEYS[2]
local attempt, outcome, result, keep_ms = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local tombstone_ms, publish = ARGV[5], ARGV[6]

-- include: recorded

local has = recorded(execution)
if has.err then
  return has
end
if has[1] == "running" and has[2] == attempt then
  -- First a write that takes no memory: a full server then lets the others pass.
  redis.call("PEXPIRE", execution, keep_ms)
  redis.call("SET", tombstone, "done", "PX", tombstone_ms)
  redis.call("HSET", execution, "state", outcome, "result", result)
  redis.call(publish, execution, outcome)
  return 1
end
if has[2] == attempt then
  -- Two objects of one owner may hand in different results.
  local same = has[1] == outcome and redis.call("HGET", execution, "result") == result
  return same and 1 or 0
end
return redis.call("GET", tombstone) == "done" and 1 or 0
