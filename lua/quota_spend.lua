-- quota_spend: spend an amount in the present windows, all of them or none.
--
-- KEYS   quota        hash, expiring: length to window          coord:quota:{name}
--        op           string, expiring: the answer    coord:quota:{name}:op:<op_id>
--        held         zset, expiring: what is held until when   coord:quota:{name}:held
-- ARGV   amount       count   how much to spend
--        sequence     int     the call on that id whose answer it is
--        remember_ms  ms?     how long to remember the operation id; 0: it has none
--        repeated     0|1     1: an earlier copy of this call may still be executed
--        per...       count   at least one: the length of a window in milliseconds
--        most...      count   the most that may be spent and held in it
-- REPLY  "1" when it was spent, else "0"
-- ERRORS WRONGTYPE, COORD_CORRUPT, COORD_RANGE
-- COST   O(limits + reservations that lapsed), one write a limit, and one more with an
--        operation id
-- REPEAT remembered: the first answer again

local quota, op, held = KEYS[1], KEYS[2], KEYS[3]
local amount, sequence, remember_ms, repeated = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

-- include: now_ms
-- include: recall
-- include: lapsed
-- include: window
-- include: reclaim
-- include: put_window
-- include: remember
-- include: refuse

local answered = recall(op, sequence, remember_ms)
if answered then
  return answered
end
local now, more = now_ms(), tonumber(amount)
if more < 1 or more > 1000000000000000 then
  return redis.error_reply("COORD_RANGE an amount is from 1 to 10^15")
end
local freed, wrong = lapsed(held, now)
if not freed then
  return wrong
end
local kind = redis.pcall("HLEN", quota)
if type(kind) == "table" then
  return kind
end
local rows, fits = {}, true
for i = 5, #ARGV, 2 do
  local length = { per = tonumber(ARGV[i]), most = tonumber(ARGV[i + 1]) }
  if length.per < 1 or math.max(length.per, length.most) > 1000000000000000 then
    return redis.error_reply("COORD_RANGE a limit's numbers are at most 10^15")
  end
  local row = window(quota, ARGV[i], now, freed)
  if not row then
    return redis.error_reply("COORD_CORRUPT this quota was not written by coord")
  end
  rows[#rows + 1] = row
  fits = fits and row.spent + row.held + more <= length.most
end
reclaim(quota, held, freed, now)
if not fits then
  refuse(op, sequence, remember_ms, repeated, "0")
  return "0"
end
for _, row in ipairs(rows) do
  row.spent = row.spent + more
  put_window(quota, row, now)
end
remember(op, sequence, remember_ms, "1")
return "1"
