-- request_done: a piece of work is done, or failed; the last completes the request.
--
-- KEYS   request    hash: stages and roots                   coord:request:{id}
-- ARGV   stage      name    the kind of work
--        root       name    which piece; it counts once, however often it is done
--        nonce      name    made for this call
--        verdict    done|failed     a failure is done too, and its message is kept
--        processed  int     what to add to the stage's count when it is done
--        message    str     what went wrong
--        publish    PUBLISH|SPUBLISH    how this server tells its waiters
-- REPLY  1 when this call did it, else 0: not added, or done before
-- ERRORS WRONGTYPE, ERR increment or decrement would overflow
-- COST   O(1), three writes when counted, and a notice when the request is complete
-- REPEAT safe: the nonce that did it is answered 1 again

local request = KEYS[1]
local stage, root, nonce, verdict = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local processed, message, publish = ARGV[5], ARGV[6], ARGV[7]

-- include: refresh
-- include: keep_error

local place = "r:" .. stage .. ":" .. root
local has = redis.pcall("HMGET", request, "ttl_ms", "pending", place, "p:" .. stage)
if has.err then
  return has
end
if has[3] == "done|" .. nonce then
  return 1
end
if has[3] ~= "pending" then
  return 0
end
if verdict == "done" then
  local count = redis.pcall("HINCRBY", request, "d:" .. stage, processed)
  if type(count) == "table" then
    return count
  end
else
  keep_error(request, "f:" .. stage, root, message)
end
redis.call("HSET", request, place, "done|" .. nonce,
  "pending", has[2] - 1, "p:" .. stage, has[4] - 1)
refresh(request, has[1])
if has[2] == "1" then
  redis.call(publish, request, "complete")
end
return 1
