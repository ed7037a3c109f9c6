-- barrier_arrive: count a member as arrived, or failed; the last completes the barrier.
--
-- KEYS   barrier    hash: its state                          coord:barrier:{name}
--        last       hash: the attempt before                 coord:barrier:{name}:last
--        answered   string, expiring: the reply  coord:barrier:{name}:answered:<call>
-- ARGV   member     name    who arrives; the same one again is not counted again
--        attempt    str     the attempt it belongs to; "": the one that is open
--        nonce      name    the operation id
--        verdict    arrived|failed    a failure counts as arrived; its message is kept
--        message    str     what went wrong
--        publish    PUBLISH|SPUBLISH    how to notify the waiters
--        tombstone_ms  ms   how long an answer is kept: longer than any retry
--        repeated   0|1     1: an earlier copy of this call may still be executed
-- REPLY  {known, remaining, completed, counted}
--        known      1 when there is such a barrier, else 0
--        remaining  how many are still missing
--        completed  1 when this arrival was the last one, else 0
--        counted    1 when it was counted: open, of this attempt, the member's first
-- ERRORS WRONGTYPE, COORD_CORRUPT
-- COST   O(1), two writes when counted, and a notification when complete
-- REPEAT safe: the nonce of the member's arrival, in this attempt or the one before, is
--        given the first answer

local barrier, last, answered = KEYS[1], KEYS[2], KEYS[3]
local member, attempt, nonce, verdict = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local message, publish, tombstone_ms, repeated = ARGV[5], ARGV[6], ARGV[7], ARGV[8]

-- include: now_ms
-- include: refresh
-- include: keep_error
-- include: all_whole
-- include: answer_once

local function reply(known, remaining, completed, counted)
  answer_once(answered, repeated, tombstone_ms,
    table.concat({ known, remaining, completed, counted }, ","))
  return { known, remaining, completed, counted }
end

local before = redis.call("GET", answered)
if before then
  local known, left, completed, counted = string.match(before, "^(%d),(%d+),(%d),(%d)$")
  if not known then
    return redis.error_reply("COORD_CORRUPT this answer was not written by coord")
  end
  return { tonumber(known), tonumber(left), tonumber(completed), tonumber(counted) }
end
local has = redis.pcall("HMGET", barrier, "attempt", "parties", "arrived", "state",
  "ends", "ttl_ms", "errors", "m:" .. member)
if has.err then
  return has
end
local first, left = string.match(has[8] or "", "^(.*)|(%d+)$")
if first ~= nonce then
  local arrived, before_left = string.match(
    redis.call("HGET", last, "m:" .. member) or "", "^(.*)|(%d+)$"
  )
  if arrived == nonce then
    first, left = arrived, before_left
  end
end
if first == nonce then
  return reply(1, tonumber(left), left == "0" and 1 or 0, 1)
end
if not has[1] then
  return reply(0, 0, 0, 0)
end
local is_sound = all_whole(has[2], has[3], has[5], has[6], has[7])
local remaining = is_sound and has[2] - has[3] or -1
if remaining < (has[4] == "open" and 1 or 0) or remaining > 1000000000 then
  return redis.error_reply("COORD_CORRUPT this barrier was not written by coord")
end
local open = has[4] == "open" and (has[5] == "0" or now_ms() <= tonumber(has[5]))
if has[8] or not open or attempt ~= "" and attempt ~= has[1] then
  return reply(1, remaining, 0, 0)
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
return reply(1, remaining, remaining == 0 and 1 or 0, 1)
