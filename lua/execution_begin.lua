-- execution_begin: start to run a key, or find the attempt that runs, or its result.
--
-- KEYS   execution  hash, expiring: its state             coord:execution:{key}
--        tombstone  string, expiring: its end coord:execution:{key}:tombstone:<attempt>
--        answered   string, expiring: 1 or 0  coord:execution:{key}:answered:<call>
-- ARGV   owner      name    the caller; the owner of an attempt gets it again
--        attempt    name    made for this attempt
--        fingerprint  str   what the key stands for; "": nothing, else after a "="
--        lease_ms   ms      how long the attempt may run from now
--        tombstone_ms  ms   how long an answer is kept: longer than any retry
--        repeated   0|1     1: an earlier copy of this call may still be executed
-- REPLY  {state, attempt, owner, fence, left_ms, result}
--        state      new, running, done, failed, or mismatch: another fingerprint
--        attempt    the one that runs, or that gave the result; else ""
--        owner      the owner of that attempt
--        fence      above every fence granted before; "0" when refused
--        left_ms    how long the attempt may run, or the result is kept
--        result     the result, or the error that is kept; else ""
-- ERRORS WRONGTYPE, COORD_CORRUPT
-- COST   O(1), two writes when new, and one when repeated
-- REPEAT safe: the owner gets the same attempt; one that ended, or a call that was
--        answered before, gets none

local execution, tombstone, answered = KEYS[1], KEYS[2], KEYS[3]
local owner, attempt, fingerprint, lease_ms = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local tombstone_ms, repeated = ARGV[5], ARGV[6]

-- include: recorded
-- include: later
-- include: answer_once

local has = recorded(execution)
if has.err then
  return has
end
local state, current, holder, fence = has[1], has[2], has[3], has[4]
if state == "free" then
  if redis.call("EXISTS", tombstone, answered) > 0 then
    return { "running", "", "", "0", 0, "" }
  end
  fence = later(fence)
  redis.call("HSET", execution, "state", "running", "attempt", attempt, "owner", owner,
    "fence", fence, "fingerprint", fingerprint, "result", "")
  redis.call("PEXPIRE", execution, lease_ms)
  answer_once(answered, repeated, tombstone_ms, "1")
  return { "new", attempt, owner, fence, tonumber(lease_ms), "" }
end
local left_ms = redis.call("PTTL", execution)
if has[5] ~= fingerprint then
  answer_once(answered, repeated, tombstone_ms, "0")
  return { "mismatch", "", holder, "0", left_ms, "" }
end
if state ~= "running" then
  answer_once(answered, repeated, tombstone_ms, "0")
  local result = redis.call("HGET", execution, "result") or ""
  return { state, current, holder, fence, left_ms, result }
end
if holder ~= owner then
  answer_once(answered, repeated, tombstone_ms, "0")
  return { "running", current, holder, fence, left_ms, "" }
end
-- Never shorter: another object of the same owner counts on the time it was given.
if left_ms < tonumber(lease_ms) then
  redis.call("PEXPIRE", execution, lease_ms)
  left_ms = tonumber(lease_ms)
end
answer_once(answered, repeated, tombstone_ms, "1")
return { "new", current, owner, fence, left_ms, "" }
