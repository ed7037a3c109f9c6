-- permitted: learn which of the commands that scripts use this user may not run.
--
-- KEYS   scratch  string, expiring: nothing is left of it    coord:permitted:{name}
-- ARGV   publish  PUBLISH|SPUBLISH    how this server tells its waiters
-- REPLY  the commands that were refused, in capitals; none when all may run
-- ERRORS none
-- COST   O(1), every command once
-- REPEAT safe: it leaves nothing behind

local scratch = KEYS[1]
local publish = ARGV[1]

local refused = {}

-- Servers have no common code for it here: the first sentence is that of 6.2.
local function try(command, answer)
  local why = type(answer) == "table" and answer.err or ""
  local old = string.find(why, "executing the script", 1, true)
  if old or string.find(why, "ACL failure", 1, true) then
    refused[#refused + 1] = command
  end
end

try("DEL", redis.pcall("DEL", scratch))
if #refused > 0 then
  -- What the others write could not be taken away again.
  return refused
end
try("TIME", redis.pcall("TIME"))
try("EXISTS", redis.pcall("EXISTS", scratch))
try("GET", redis.pcall("GET", scratch))
try(publish, redis.pcall(publish, scratch, ""))

try("SET", redis.pcall("SET", scratch, "1"))
try("SETNX", redis.pcall("SETNX", scratch, "1"))
try("INCRBY", redis.pcall("INCRBY", scratch, 1))
try("PEXPIRE", redis.pcall("PEXPIRE", scratch, 1000))
try("PTTL", redis.pcall("PTTL", scratch))
try("PERSIST", redis.pcall("PERSIST", scratch))
try("RENAME", redis.pcall("RENAME", scratch, scratch))
redis.call("DEL", scratch)

try("HSET", redis.pcall("HSET", scratch, "field", "1"))
try("HGET", redis.pcall("HGET", scratch, "field"))
try("HMGET", redis.pcall("HMGET", scratch, "field"))
try("HGETALL", redis.pcall("HGETALL", scratch))
try("HINCRBY", redis.pcall("HINCRBY", scratch, "field", 1))
redis.call("DEL", scratch)

try("SADD", redis.pcall("SADD", scratch, "member"))
try("SREM", redis.pcall("SREM", scratch, "none"))
try("SCARD", redis.pcall("SCARD", scratch))
redis.call("DEL", scratch)

try("RPUSH", redis.pcall("RPUSH", scratch, "item"))
try("LLEN", redis.pcall("LLEN", scratch))
try("LRANGE", redis.pcall("LRANGE", scratch, 0, 0))
redis.call("DEL", scratch)

return refused
