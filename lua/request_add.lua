-- request_add: a piece of work belongs to a request, and is not done yet.
--
-- KEYS   request  hash: stages and roots                     coord:request:{id}
-- ARGV   stage    name    the kind of work
--        root     name    which piece; again, before it is done, it is the same one
--        nonce    name    made for this call
-- REPLY  1 when the request is registered, else 0
-- ERRORS WRONGTYPE
-- COST   O(stages) for a new stage, else O(1); two writes when new
-- REPEAT safe: the nonce that added a piece does not add it again, even when done

local request = KEYS[1]
local stage, root, nonce = ARGV[1], ARGV[2], ARGV[3]

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
local state, added = string.match(has[3] or "", "^(%a+)|([^|]*)")
if state == "pending" or added == nonce then
  return 1
end
if not has[4] then
  redis.call("HSET", request, "stages", has[5] and has[5] .. "\n" .. stage or stage)
end
redis.call("HSET", request, place, "pending|" .. nonce, "pending", has[2] + 1,
  "p:" .. stage, (has[4] or 0) + 1)
refresh(request, has[1])
return 1
