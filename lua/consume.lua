-- consume: take all counts of one id, once.
--
-- KEYS   stats        hash: field to count                   coord:stats:{id}:<name>
--        batch        hash, expiring: the batch   coord:stats:{id}:<name>:batch:<op_id>
-- ARGV   remember_ms  ms?     how long to remember the operation id; 0: it has none
-- REPLY  {field, count, ...}; empty when the id was never merged
-- ERRORS WRONGTYPE, COORD_CORRUPT
-- COST   O(fields), one write
-- REPEAT remembered: the same batch again

local stats, batch = KEYS[1], KEYS[2]
local remember_ms = ARGV[1]

if remember_ms ~= "0" then
  local taken = redis.pcall("HGETALL", batch)
  if taken.err or #taken > 0 then
    return taken
  end
end
local counts = redis.pcall("HGETALL", stats)
if counts.err or #counts == 0 then
  return counts
end
for i = 2, #counts, 2 do
  if not string.match(counts[i], "^%-?%d+$") then
    return redis.error_reply("COORD_CORRUPT a count is not a whole number")
  end
end
if remember_ms == "0" then
  redis.call("DEL", stats)
else
  redis.call("RENAME", stats, batch)
  redis.call("PEXPIRE", batch, remember_ms)
end
return counts
