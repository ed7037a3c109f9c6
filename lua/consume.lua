-- consume: take all counts of one id, once.
--
-- KEYS   stats        hash: field to count                   coord:stats:{id}:<name>
--        batch        hash, expiring: the batch   coord:stats:{id}:<name>:batch:<op_id>
-- ARGV   nonce        name    made for this call
--        remember_ms  ms?     how long to remember the operation id; 0: it has none
--        repeated     0|1     1: an earlier copy of this call may still be executed
-- REPLY  {field, count, ...}; empty when the id was never merged
-- ERRORS WRONGTYPE, COORD_CORRUPT
-- COST   O(fields), one write
-- REPEAT remembered: the same batch again

local stats, batch = KEYS[1], KEYS[2]
local nonce, remember_ms, repeated = ARGV[1], ARGV[2], ARGV[3]

-- include: int64

if remember_ms ~= "0" then
  local taken = redis.pcall("HGETALL", batch)
  if taken.err then
    return taken
  end
  -- One field alone says that a copy of the call with this nonce found nothing.
  local refused = #taken == 2 and taken[1] == "refused"
  if refused and taken[2] == nonce then
    return {}
  end
  if #taken > 0 and not refused then
    return taken
  end
end
local counts = redis.pcall("HGETALL", stats)
if counts.err then
  return counts
end
if #counts == 0 then
  if repeated == "1" and remember_ms ~= "0" then
    redis.call("DEL", batch)
    redis.call("HSET", batch, "refused", nonce)
    redis.call("PEXPIRE", batch, remember_ms)
  end
  return counts
end
for i = 2, #counts, 2 do
  if not int64(counts[i]) then
    return redis.error_reply("COORD_CORRUPT a count is not a 64-bit integer")
  end
end
if remember_ms == "0" then
  redis.call("UNLINK", stats)
else
  redis.call("RENAME", stats, batch)
  redis.call("PEXPIRE", batch, remember_ms)
end
return counts
