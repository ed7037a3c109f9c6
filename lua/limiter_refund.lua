-- limiter_refund: give a cost back to several limits; none becomes more than full.
--
-- KEYS   limiter      hash, expiring: limit to TAT, penalty  coord:limiter:{name}
--        op           string, expiring: a mark  coord:limiter:{name}:op:<op_id>
-- ARGV   sequence     int     the call on that id whose answer it is
--        remember_ms  ms?     how long to remember the operation id; 0: it has none
--        rate...      name    at least one: its field, amount/microseconds
--        parts...     count   how many parts a microsecond has: its amount
--        cost_us...   count   the time that the cost takes, in microseconds,
--        cost_part... count   and in parts of one
--        burst_us...  count   not used,
--        burst_part... count  as in limiter_hit
-- REPLY  1
-- ERRORS WRONGTYPE, COORD_CORRUPT, COORD_RANGE
-- COST   O(limits), one write a limit, and one more with an operation id
-- REPEAT remembered: nothing is given back again

local limiter, op = KEYS[1], KEYS[2]
local sequence, remember_ms = ARGV[1], ARGV[2]

-- include: now_us
-- include: recall
-- include: limit_at
-- include: tat
-- include: moment
-- include: keep_until
-- include: remember

if recall(op, sequence, remember_ms) then
  return 1
end
local now, rows, gone = now_us(), {}, {}
local full = now
for i = 3, #ARGV, 6 do
  local limit = limit_at(i)
  if not limit then
    return redis.error_reply("COORD_RANGE a limit's number is above 2^50")
  end
  local kept = redis.pcall("HGET", limiter, limit.field)
  if type(kept) == "table" then
    return kept
  end
  local us, part = tat(kept, now)
  if not us then
    return redis.error_reply("COORD_CORRUPT this limiter was not written by coord")
  end
  limit.us, limit.part = us - limit.cost_us, part - limit.cost_part
  if limit.part < 0 then
    limit.us, limit.part = limit.us - 1, limit.part + limit.amount
  end
  if limit.us >= now then
    rows[#rows + 1] = limit
    full = math.max(full, limit.us)
  elseif kept then
    gone[#gone + 1] = limit.field
  end
end
for _, field in ipairs(gone) do
  redis.call("HDEL", limiter, field)
end
for _, row in ipairs(rows) do
  redis.call("HSET", limiter, row.field, moment(row.us, row.part))
end
keep_until(limiter, full, now)
remember(op, sequence, remember_ms, "1")
return 1
