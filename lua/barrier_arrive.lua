-- barrier_arrive: a member has arrived, or failed; the last one completes the barrier.
--
-- KEYS   barrier    hash: its state                          coord:barrier:{name}
-- ARGV   member     name    who arrives; the same one again is not counted again
--        attempt    str     the attempt it belongs to; "": the one that is open
--        nonce      name    made for this call
--        verdict    arrived|failed    a failure counts as arrived; its message is kept
--        message    str     what went wrong
--        publish    PUBLISH|SPUBLISH    how this server tells its waiters
-- REPLY  {known, remaining, completed, counted}
--        known      1 when there is such a barrier, else 0
--        remaining  how many are still missing
--        completed  1 when this arrival was the last one, else 0
--        counted    1 when it was counted: open, of this attempt, the member's first
-- ERRORS WRONGTYPE
-- COST   O(1), two writes when counted, and a notice when complete
-- REPEAT safe: the nonce of the member's arrival is given the first answer

local barrier = KEYS[1]
local member, attempt, nonce, verdict = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local message, publish = ARGV[5], ARGV[6]

-- include: now_ms
-- include: refresh
-- include: keep_error

local has = redis.pcall("HMGET", barrier, "attempt", "parties", "arrived", "state",
  "ends", "ttl_ms", "m:" .. member)
if has.err then
  return has
end
if not has[1] then
  return { 0, 0, 0, 0 }
end
local remaining = has[2] - has[3]
local first, left = string.match(has[7] or "", "^(.*)|(%d+)$")
if first == nonce then
  return { 1, tonumber(left), left == "0" and 1 or 0, 1 }
end
local open = has[4] == "open" and (has[5] == "0" or now_ms() <= tonumber(has[5]))
if first or not open or attempt ~= "" and attempt ~= has[1] then
  return { 1, remaining, 0, 0 }
end

remaining = remaining - 1
redis.call("HSET", barrier, "m:" .. member, nonce .. "|" .. remaining,
  "arrived", has[3] + 1, "state", remaining == 0 and "complete" or "open")
if verdict == "failed" then
  keep_error(barrier, "errors", member, message)
end
refresh(barrier, has[6])
if remaining == 0 then
  redis.call(publish, barrier, "complete")
end
return { 1, remaining, remaining == 0 and 1 or 0, 1 }
