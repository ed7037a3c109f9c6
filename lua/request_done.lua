-- request_done: finish a piece of work, or fail it; the last completes the request.
--
-- KEYS   request    hash: stages and roots                   coord:request:{id}
--        answered   string, expiring: 1 or 0  coord:request:{id}:answered:<call>
-- ARGV   stage      name    the kind of work
--        root       name    which piece; it counts once, however often it is done
--        nonce      name    the operation id
--        verdict    done|failed     a failure is done too, and its message is kept
--        processed  int     what to add to the stage's count when it is done
--        message    str     what went wrong
--        publish    PUBLISH|SPUBLISH    how to notify the waiters
--        tombstone_ms  ms   how long an answer is kept: longer than any retry
--        repeated   0|1     1: an earlier copy of this call may still be executed
-- REPLY  1 when this call did it, else 0: not added, or done before
-- ERRORS WRONGTYPE, COORD_CORRUPT, ERR hash value is not an integer,
--        ERR increment or decrement would overflow
-- COST   O(1), three writes when counted, and a notification when complete
-- REPEAT safe: the nonce that did it is answered 1 again

local request, answered = KEYS[1], KEYS[2]
local stage, root, nonce, verdict = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local processed, message, publish, tombstone_ms = ARGV[5], ARGV[6], ARGV[7], ARGV[8]
local repeated = ARGV[9]

-- include: refresh
-- include: keep_error
-- include: all_whole
-- include: answer_once

local piece = "r:" .. stage .. ":" .. root
local has = redis.pcall("HMGET", request, "ttl_ms", "pending", piece, "p:" .. stage)
if has.err then
  return has
end
if has[3] == "done|" .. nonce then
  answer_once(answered, repeated, tombstone_ms, "1")
  return 1
end
local before = redis.call("GET", answered)
if before then
  return before == "1" and 1 or 0
end
if has[3] ~= "pending" then
  answer_once(answered, repeated, tombstone_ms, "0")
  return 0
end
if not all_whole(has[1], has[2], has[4]) or has[2] == "0" or has[4] == "0" then
  return redis.error_reply("COORD_CORRUPT this request was not written by coord")
end
if verdict == "done" then
  local count = redis.pcall("HINCRBY", request, "d:" .. stage, processed)
  if type(count) == "table" then
    return count
  end
else
  keep_error(request, "f:" .. stage, root, message)
end
redis.call("HSET", request, piece, "done|" .. nonce,
  "pending", has[2] - 1, "p:" .. stage, has[4] - 1)
refresh(request, has[1])
answer_once(answered, repeated, tombstone_ms, "1")
if has[2] == "1" then
  redis.call(publish, request, "complete")
end
return 1
