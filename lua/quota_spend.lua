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
-- COST   O(limits + reservations that lapsed), two writes, and one more with an
--        operation id
-- REPEAT remembered: the first answer again

local quota, op, held = KEYS[1], KEYS[2], KEYS[3]
local amount, sequence, remember_ms, repeated = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

-- include: now_ms
-- include: recall
-- include: lapsed
-- include: windows
-- include: reclaim
-- include: put_windows
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
local pers = {}
for i = 5, #ARGV, 2 do
  pers[#pers + 1] = ARGV[i]
end
local rows, err = windows(quota, pers, now, freed)
if not rows then
  return err
end
local fits = true
for i, row in ipairs(rows) do
  local most = tonumber(ARGV[2 * i + 4])
  if most > 1000000000000000 then
    return redis.error_reply("COORD_RANGE a limit's numbers are at most 10^15")
  end
  fits = fits and row.spent + row.held + more <= most
end
reclaim(quota, held, freed, now)
if not fits then
  refuse(op, sequence, remember_ms, repeated, "0")
  return "0"
end
for _, row in ipairs(rows) do
  row.spent = row.spent + more
end
put_windows(quota, rows, now)
remember(op, sequence, remember_ms, "1")
return "1"
