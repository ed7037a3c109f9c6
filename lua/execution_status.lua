-- execution_status: return the attempt that runs, or the result.
--
-- KEYS   execution  hash, expiring: its state             coord:execution:{key}
-- ARGV   none
-- REPLY  {state, owner, fence, left_ms, fingerprint, result}
--        state      running, done, failed, or free
--        owner      the owner of the attempt
--        fence      the fence of the attempt, or the last one
--        left_ms    how long the attempt may run, or the result is kept; 0 when free
--        fingerprint  what the key stands for; "": nothing, else after a "="
--        result     the result, or the error that is kept; else ""
-- ERRORS WRONGTYPE, COORD_CORRUPT
-- COST   O(1), no write
-- REPEAT safe: it changes nothing

local execution = KEYS[1]

-- include: recorded

local has = recorded(execution)
if has.err then
  return has
end
if has[1] == "free" then
  return { "free", "", has[4], 0, "", "" }
end
local result = redis.call("HGET", execution, "result") or ""
return { has[1], has[3], has[4], redis.call("PTTL", execution), has[5], result }
