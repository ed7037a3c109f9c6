-- request_requeue: count pieces of a stage that went back to their queue.
--
-- KEYS   request      hash: stages and roots                 coord:request:{id}
--        op           string, expiring: the answer given  coord:request:{id}:op:<op_id>
-- ARGV   stage        name    the kind of work
--        count        count   how many pieces
--        sequence     int     the call on that id whose answer it is
--        remember_ms  ms?     how long to remember the operation id; 0: it has none
--        repeated     0|1     1: an earlier copy of this call may still be executed
-- REPLY  1 when the request is registered, else 0
-- ERRORS WRONGTYPE, COORD_CORRUPT, ERR hash value is not an integer,
--        ERR increment or decrement would overflow
-- COST   O(1), two writes, and one more with an operation id
-- REPEAT remembered: the first answer again

local request, op = KEYS[1], KEYS[2]
local stage, count, sequence, remember_ms = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local repeated = ARGV[5]

-- include: recall
-- include: refresh
-- include: all_whole
-- include: add_stage
-- include: remember
-- include: refuse

local answered = recall(op, sequence, remember_ms)
if answered then
  return answered == "1" and 1 or 0
end
local has = redis.pcall("HMGET", request, "ttl_ms", "stages", "p:" .. stage)
if has.err then
  return has
end
if not has[1] then
  refuse(op, sequence, remember_ms, repeated, "0")
  return 0
end
if not all_whole(has[1], has[2]) then
  return redis.error_reply("COORD_CORRUPT this request was not written by coord")
end
local total = redis.pcall("HINCRBY", request, "q:" .. stage, count)
if type(total) == "table" then
  return total
end
if not has[3] then
  add_stage(request, has[2], stage)
end
refresh(request, has[1])
remember(op, sequence, remember_ms, "1")
return 1
