-- kv_delete: remove a key.
--
-- KEYS   entity       string: or a set, or a list            coord:kv:{key}
--        op           string, expiring: sequence|answer       coord:kv:{key}:op:<op_id>
-- ARGV   sequence     count   the call on that id whose answer it is; 0: the only one
--        remember_ms  ms?     how long to remember the operation id; 0: it has none
-- REPLY  1 when there was such a key, else 0
-- ERRORS none
-- COST   O(size), one write, and one more with an operation id
-- REPEAT remembered: the first answer again

local entity, op = KEYS[1], KEYS[2]
local sequence, remember_ms = ARGV[1], ARGV[2]

-- include: recall
-- include: remember

local answered = recall(op, sequence, remember_ms)
if answered then
  return tonumber(answered)
end
local removed = redis.call("DEL", entity)
remember(op, sequence, remember_ms, removed)
return removed
