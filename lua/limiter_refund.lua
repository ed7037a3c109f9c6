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
local now, fields, words, gone = now_us(), {}, {}, {}
local full = now
for i = 3, #ARGV, 6 do
  fields[#fields + 1] = ARGV[i]
end
local has = redis.pcall("HMGET", limiter, unpack(fields, 1, #fields))
if has.err then
  return has
end
for at, field in ipairs(fields) do
  local amount, cost_us, cost_part = limit_at(6 * at - 3)
  if not amount then
    return redis.error_reply("COORD_RANGE a limit's number is above 2^50")
  end
  local us, part = tat(has[at], now)
  if not us then
    return redis.error_reply("COORD_CORRUPT this limiter was not written by coord")
  end
  us, part = us - cost_us, part - cost_part
  if part < 0 then
    us, part = us - 1, part + amount
  end
  if us >= now then
    words[#words + 1] = field
    words[#words + 1] = moment(us, part)
    full = math.max(full, us)
  elseif has[at] then
    gone[#gone + 1] = field
  end
end
if #gone > 0 then
  redis.call("HDEL", limiter, unpack(gone, 1, #gone))
end
if #words > 0 then
  redis.call("HSET", limiter, unpack(words, 1, #words))
end
keep_until(limiter, full, now)
remember(op, sequence, remember_ms, "1")
return 1
