-- permitted: try every command that scripts use; return those that do not surely work.
--
-- KEYS   scratch  string, expiring: nothing is left of it    coord:permitted:{name}
-- ARGV   publish  PUBLISH|SPUBLISH    how to notify the waiters
-- REPLY  the commands that were refused, in capitals; none when all may run
-- ERRORS READONLY, MISCONF, NOREPLICAS: nothing can be written now
-- COST   O(1), every command once
-- REPEAT safe: it leaves nothing behind

local scratch = KEYS[1]
local publish = ARGV[1]

local refused = {}

-- A missing permission, a renamed command and one that is not allowed in scripts have
-- no common code: every error counts, but for a server that is full.
local function try(command, answer)
  local why = type(answer) == "table" and answer.err
  if why and not string.find(why, "OOM ", 1, true) then
    refused[#refused + 1] = command
  end
  return not why
end

local removed = redis.pcall("DEL", scratch)
for _, state in ipairs({ "READONLY ", "MISCONF ", "NOREPLICAS " }) do
  if type(removed) == "table" and string.find(removed.err, state, 1, true) then
    return removed
  end
end
if not try("DEL", removed) then
  -- The writes of the others could not be removed again.
  return refused
end
try("UNLINK", redis.pcall("UNLINK", scratch))
try("TIME", redis.pcall("TIME"))
try("EXISTS", redis.pcall("EXISTS", scratch))
try("GET", redis.pcall("GET", scratch))
try(publish, redis.pcall(publish, scratch, ""))

if try("SET", redis.pcall("SET", scratch, "1")) then
  try("RENAME", redis.pcall("RENAME", scratch, scratch))
end
try("SETNX", redis.pcall("SETNX", scratch, "1"))
try("INCRBY", redis.pcall("INCRBY", scratch, 1))
try("PEXPIRE", redis.pcall("PEXPIRE", scratch, 1000))
try("PTTL", redis.pcall("PTTL", scratch))
try("PEXPIREAT", redis.pcall("PEXPIREAT", scratch, 253402300799000))
try("PERSIST", redis.pcall("PERSIST", scratch))
redis.call("DEL", scratch)

try("HSET", redis.pcall("HSET", scratch, "field", "1"))
try("HGET", redis.pcall("HGET", scratch, "field"))
try("HMGET", redis.pcall("HMGET", scratch, "field"))
try("HGETALL", redis.pcall("HGETALL", scratch))
try("HINCRBY", redis.pcall("HINCRBY", scratch, "field", 1))
try("HEXISTS", redis.pcall("HEXISTS", scratch, "field"))
try("HKEYS", redis.pcall("HKEYS", scratch))
try("HLEN", redis.pcall("HLEN", scratch))
try("HDEL", redis.pcall("HDEL", scratch, "none"))
redis.call("DEL", scratch)

try("SADD", redis.pcall("SADD", scratch, "member"))
try("SREM", redis.pcall("SREM", scratch, "none"))
try("SCARD", redis.pcall("SCARD", scratch))
redis.call("DEL", scratch)

try("RPUSH", redis.pcall("RPUSH", scratch, "item"))
try("LLEN", redis.pcall("LLEN", scratch))
try("LRANGE", redis.pcall("LRANGE", scratch, 0, 0))
redis.call("DEL", scratch)

try("ZADD", redis.pcall("ZADD", scratch, 1, "member"))
try("ZREM", redis.pcall("ZREM", scratch, "none"))
try("ZSCORE", redis.pcall("ZSCORE", scratch, "member"))
try("ZMSCORE", redis.pcall("ZMSCORE", scratch, "member"))
try("ZCARD", redis.pcall("ZCARD", scratch))
try("ZRANGE", redis.pcall("ZRANGE", scratch, 0, 0))
try("ZRANGEBYSCORE", redis.pcall("ZRANGEBYSCORE", scratch, 0, 0))
try("ZREMRANGEBYSCORE", redis.pcall("ZREMRANGEBYSCORE", scratch, 0, 0))
redis.call("DEL", scratch)

return refused
