-- request_status: how far each stage of a request has come.
--
-- KEYS   request  hash: stages and roots                     coord:request:{id}
-- ARGV   none
-- REPLY  {pending, {stage, pending, processed, requeued, failed, root, message, ...},
--          ...}; {} when unknown
--        pending  pieces not done yet, in all and of each stage; other counts in digits
--        failed   how many pieces failed; the first hundred follow with their messages
-- ERRORS WRONGTYPE
-- COST   O(stages + errors kept), no write
-- REPEAT safe: it changes nothing

local request = KEYS[1]

-- include: kept_errors

local has = redis.pcall("HMGET", request, "pending", "stages")
if has.err or not has[1] then
  return has.err and has or {}
end
local reply = { tonumber(has[1]) }
for stage in string.gmatch(has[2] and has[2] .. "\n" or "", "([^\n]*)\n") do
  local counts = redis.call("HMGET", request, "p:" .. stage, "d:" .. stage,
    "q:" .. stage, "f:" .. stage)
  local pending, failed = tonumber(counts[1] or 0), tonumber(counts[4] or 0)
  local row = { stage, pending, counts[2] or "0", counts[3] or "0", failed }
  kept_errors(request, "f:" .. stage, counts[4] or 0, row)
  reply[#reply + 1] = row
end
return reply
