-- request_requeue: work of a stage went back to its queue.
--
-- KEYS   request      hash: stages and roots                 coord:request:{id}
--        op           string, expiring: the answer given  coord:request:{id}:op:<op_id>
-- ARGV   stage        name    the kind of work
--        count        count   how many pieces
--        sequence     count   the call on that id whose answer it is; 0: the only one
--        remember_ms  ms?     how long to remember the operation id; 0: it has none
-- REPLY  1 when the request is registered, else 0
-- ERRORS WRONGTYPE, ERR increment or decrement would overflow
-- COST   O(stages) for a new stage, else O(1); one write,
--        and one more with an operation id
-- REPEAT remembered: nothing is added again

local request, op = KEYS[1], KEYS[2]
local stage, count, sequence, remember_ms = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

-- include: recall
-- include: refresh
-- include: remember

if recall(op, sequence, remember_ms) then
  return 1
end
local has = redis.pcall("HMGET", request, "ttl_ms", "p:" .. stage, "stages")
if has.err then
  return has
end
if not has[1] then
  return 0
end
local total = redis.pcall("HINCRBY", request, "q:" .. stage, count)
if type(total) == "table" then
  return total
end
if not has[2] then
  local stages = has[3] and has[3] .. "\n" .. stage or stage
  redis.call("HSET", request, "stages", stages, "p:" .. stage, "0")
end
refresh(request, has[1])
remember(op, sequence, remember_ms, "1")
return 1
