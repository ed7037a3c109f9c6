-- limiter_penalize: let nothing pass for a while; booked places move behind it.
--
-- KEYS   limiter      hash, expiring: limit to TAT, penalty  coord:limiter:{name}
--        op           string, expiring: a mark  coord:limiter:{name}:op:<op_id>
-- ARGV   penalty_ms   ms      how long from now; a later end that is set already stays
--        sequence     int     the call on that id whose answer it is
--        remember_ms  ms?     how long to remember the operation id; 0: it has none
-- REPLY  1
-- ERRORS WRONGTYPE, COORD_CORRUPT
-- COST   O(limits of the name), two writes, and one more with an operation id
-- REPEAT remembered: it begins at the first run

local limiter, op = KEYS[1], KEYS[2]
local penalty_ms, sequence, remember_ms = ARGV[1], ARGV[2], ARGV[3]

-- include: now_us
-- include: recall
-- include: schedule
-- include: tat
-- include: moment
-- include: keep_until
-- include: remember

if recall(op, sequence, remember_ms) then
  return 1
end
local now = now_us()
local before, last, delay = schedule(limiter)
if not before then
  return last
end
local free = math.max(now, before)
local penalty = math.max(free, now + penalty_ms * 1000)
local words, full = { "penalty", penalty }, penalty
if last > now and penalty > free then
  -- The schedule stands still for the penalty, so its order and its distances stay.
  local has = redis.call("HGETALL", limiter)
  for i = 1, #has, 2 do
    if string.find(has[i], "/", 1, true) then
      local us, part = tat(has[i + 1], now)
      if not us then
        return redis.error_reply("COORD_CORRUPT this limiter was not written by coord")
      end
      if us > now then
        words[#words + 1] = has[i]
        words[#words + 1] = moment(us + penalty - free, part)
        full = math.max(full, us + penalty - free)
      end
    end
  end
  words[#words + 1] = "places"
  words[#words + 1] = moment(last + penalty - free, delay + penalty - free)
end
for i = 1, #words, 1000 do
  redis.call("HSET", limiter, unpack(words, i, math.min(i + 999, #words)))
end
keep_until(limiter, full, now)
remember(op, sequence, remember_ms, "1")
return 1
