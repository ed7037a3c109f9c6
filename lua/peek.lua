-- peek: look at the counts of one id.
--
-- KEYS   stats    hash: field to count                       coord:stats:{id}:<name>
-- ARGV   none
-- REPLY  {field, count, ...}; empty when the id was never merged
-- ERRORS WRONGTYPE, COORD_CORRUPT
-- COST   O(fields), no write
-- REPEAT safe: it changes nothing

local stats = KEYS[1]

local counts = redis.pcall("HGETALL", stats)
if counts.err then
  return counts
end
for i = 2, #counts, 2 do
  if not string.match(counts[i], "^%-?%d+$") then
    return redis.error_reply("COORD_CORRUPT a count is not a whole number")
  end
end
return counts
