-- set_free: leave only the fence of an execution, for a while.
-- First a write that takes no memory: a full server then lets the others pass.
local function set_free(execution, tombstone_ms)
  redis.call("PEXPIRE", execution, tombstone_ms)
  redis.call("HSET", execution, "state", "free", "attempt", "", "owner", "",
    "fingerprint", "", "result", "")
end
