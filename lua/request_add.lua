-- request_add: a piece of work belongs to a request, and is not done yet.
--
-- KEYS   request  hash: stages and roots                     coord:request:{id}
-- ARGV   stage    name    the kind of work
--        root     name    which piece; the same one again is one piece, done or not
-- REPLY  1 when the request is registered, else 0
-- ERRORS WRONGTYPE
-- COST   O(stages) for a new stage, else O(1); two writes when new
-- REPEAT safe: what was added is not added again, also when it is done

local request = KEYS[1]
local stage, root = ARGV[1], ARGV[2]

-- include: refresh

local place = "r:" .. stage .. ":" .. root
local has = redis.pcall("HMGET", request, "ttl_ms", "pending", place, "p:" .. stage,
  "stages")
if has.err then
  return has
end
if not has[1] then
  return 0
end
if has[3] then
  return 1
end
if not has[4] then
  redis.call("HSET", request, "stages", has[5] and has[5] .. "\n" .. stage or stage)
end
redis.call("HSET", request, place, "pending", "pending", has[2] + 1,
  "p:" .. stage, (has[4] or 0) + 1)
refresh(request, has[1])
return 1
