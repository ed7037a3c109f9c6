-- request_status: how far each stage of a request has come.
--
-- KEYS   request  hash: stages and roots                     coord:request:{id}
--        ended    string, expiring: 1                        coord:request:{id}:ended
-- ARGV   look     all|pending    pending: the stages only when nothing is pending
-- REPLY  {pending, {stage, pending, processed, requeued, failed, root, message, ...},
--          ...}; {-1, cleaned} when it is unknown
--        pending  pieces not done yet, in all and of each stage; other counts in digits
--        failed   how many pieces failed; the first hundred follow with their messages
--        cleaned  1 when cleanup ended it a short while ago, else 0
-- ERRORS WRONGTYPE, COORD_CORRUPT
-- COST   O(stages + errors kept), no write; O(1) while something is pending
-- REPEAT safe: it changes nothing

local request, ended = KEYS[1], KEYS[2]
local look = ARGV[1]

-- include: all_whole
-- include: int64
-- include: kept_errors

local function corrupt()
  return redis.error_reply("COORD_CORRUPT this request was not written by coord")
end

local has = redis.pcall("HMGET", request, "pending", "stages")
if has.err then
  return has
end
if not has[1] then
  return { -1, redis.call("EXISTS", ended) }
end
if not all_whole(has[1], has[2]) then
  return corrupt()
end
local reply = { tonumber(has[1]) }
if look == "pending" and has[1] ~= "0" then
  return reply
end
for number = 1, tonumber(has[2]) do
  local stage = redis.call("HGET", request, "s:" .. number)
  if not stage then
    return corrupt()
  end
  local counts = redis.call("HMGET", request, "p:" .. stage, "f:" .. stage,
    "d:" .. stage, "q:" .. stage)
  local failed, processed = counts[2] or "0", counts[3] or "0"
  local requeued = counts[4] or "0"
  if not (all_whole(counts[1], failed) and int64(processed) and int64(requeued)) then
    return corrupt()
  end
  local row = { stage, tonumber(counts[1]), processed, requeued, tonumber(failed) }
  kept_errors(request, "f:" .. stage, failed, row)
  reply[#reply + 1] = row
end
return reply
