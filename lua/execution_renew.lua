-- execution_renew: let an attempt run for longer, if it still runs.
--
-- KEYS   execution  hash, expiring: its state             coord:execution:{key}
-- ARGV   attempt    name    the attempt
--        lease_ms   ms      how long it may run from now
-- REPLY  {renewed, fence}
--        renewed    1 when the attempt still ran, else 0
--        fence      the fence of the attempt, "0" when not renewed
-- ERRORS WRONGTYPE, COORD_CORRUPT
-- COST   O(1), one write when renewed
-- REPEAT safe: it has the time from the second run on

local execution = KEYS[1]
local attempt, lease_ms = ARGV[1], ARGV[2]

-- include: recorded

local has = recorded(execution)
if has.err then
  return has
end
if has[1] ~= "running" or has[2] ~= attempt then
  return { 0, "0" }
end
redis.call("PEXPIRE", execution, lease_ms)
return { 1, has[4] }
