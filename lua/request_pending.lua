-- request_pending: how many pieces of a request are not done yet.
--
-- KEYS   request  hash: stages and roots                     coord:request:{id}
-- ARGV   none
-- REPLY  how many are pending, of all stages; -1 when the request is unknown
-- ERRORS WRONGTYPE, COORD_CORRUPT
-- COST   O(1), no write
-- REPEAT safe: it changes nothing

local request = KEYS[1]

-- include: whole

local pending = redis.pcall("HGET", request, "pending")
if type(pending) == "table" then
  return pending
end
if pending and not whole(pending) then
  return redis.error_reply("COORD_CORRUPT this request was not written by coord")
end
return tonumber(pending or -1)
