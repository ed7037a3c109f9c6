-- limiter_hit: let a cost pass under several limits (GCRA), all of them or none.
--
-- KEYS   limiter      hash, expiring: limit to TAT, penalty  coord:limiter:{name}
--        op           string, expiring: the answer  coord:limiter:{name}:op:<op_id>
-- ARGV   sequence     int     the call on that id whose answer it is
--        remember_ms  ms?     how long to remember the operation id; 0: it has none
--        repeated     0|1     1: an earlier copy of this call may still be executed
--        rate...      name    at least one: its field, amount/microseconds
--        parts...     count   how many parts a microsecond has: its amount
--        cost_us...   count   the time that the cost takes, in microseconds,
--        cost_part... count   and in parts of one
--        burst_us...  count   the time that a full burst takes, in microseconds,
--        burst_part... count  and in parts of one
-- REPLY  "allowed,wait,refusing,penalty,ahead,part,..."
--        allowed    1 when the cost passed, else 0
--        wait       microseconds until it would pass; 0 when it passed
--        refusing   which limit waits longest; 0: none, or the penalty
--        penalty    microseconds that the penalty still lasts
--        ahead, part  of each limit: time until it is full again
-- ERRORS WRONGTYPE, COORD_CORRUPT, COORD_RANGE
-- COST   O(limits), two writes, and one more with an operation id
-- REPEAT remembered: the first answer again

local limiter, op = KEYS[1], KEYS[2]
local sequence, remember_ms, repeated = ARGV[1], ARGV[2], ARGV[3]

-- include: now_us
-- include: recall
-- include: judge
-- include: verdict
-- include: moment
-- include: keep_until
-- include: remember
-- include: refuse

local answered = recall(op, sequence, remember_ms)
if answered then
  return answered
end
local now = now_us()
local fields = { "penalty", "places" }
for i = 4, #ARGV, 6 do
  fields[#fields + 1] = ARGV[i]
end
local rows, penalty = judge(limiter, fields, 4, now)
if not rows then
  return penalty
end
local answer, passes = verdict(rows, penalty, now, true)
if not passes then
  refuse(op, sequence, remember_ms, repeated, answer)
  return answer
end
local words, full = {}, now
for _, row in ipairs(rows) do
  words[#words + 1] = row.field
  words[#words + 1] = moment(row.after_us, row.after_part)
  full = math.max(full, row.after_us)
end
redis.call("HSET", limiter, unpack(words, 1, #words))
keep_until(limiter, full, now)
remember(op, sequence, remember_ms, answer)
return answer
