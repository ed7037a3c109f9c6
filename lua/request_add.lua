-- request_add: add a piece of work to a request; it is pending until it is done.
--
-- KEYS   request   hash: stages and roots                    coord:request:{id}
--        answered  string, expiring: 1 or 0  coord:request:{id}:answered:<call>
-- ARGV   stage     name    the kind of work
--        root      name    which piece; the same one again is one piece, done or not
--        tombstone_ms  ms  how long an answer is kept: longer than any retry
--        repeated  0|1     1: an earlier copy of this call may still be executed
-- REPLY  1 when the request is registered, else 0
-- ERRORS WRONGTYPE, COORD_CORRUPT
-- COST   O(1), two writes when new
-- REPEAT safe: what was added is not added again, also when it is done

local request, answered = KEYS[1], KEYS[2]
local stage, root, tombstone_ms, repeated = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

-- include: refresh
-- include: all_whole
-- include: add_stage
-- include: answer_once

local piece = "r:" .. stage .. ":" .. root
local has = redis.pcall("HMGET", request, "ttl_ms", "pending", "stages", "p:" .. stage,
  piece)
if has.err then
  return has
end
if has[5] then
  answer_once(answered, repeated, tombstone_ms, "1")
  return 1
end
local before = redis.call("GET", answered)
if before then
  return before == "1" and 1 or 0
end
if not has[1] then
  answer_once(answered, repeated, tombstone_ms, "0")
  return 0
end
if not all_whole(has[1], has[2], has[3], has[4] or "0") then
  return redis.error_reply("COORD_CORRUPT this request was not written by coord")
end
if not has[4] then
  add_stage(request, has[3], stage)
end
redis.call("HSET", request, piece, "pending", "pending", has[2] + 1,
  "p:" .. stage, (has[4] or 0) + 1)
refresh(request, has[1])
answer_once(answered, repeated, tombstone_ms, "1")
return 1
