-- judge: ask the limits in ARGV from one place on for a cost, by one read of fields:
-- penalty, places, and a field for each limit. Return what each limit says: its time
-- before and after the cost, and how long the cost waits; when the penalty ends; what
-- places has. nil and an error.
-- include: whole
-- include: limit_at
-- include: tat
local function judge(limiter, fields, first, now)
  local has = redis.pcall("HMGET", limiter, unpack(fields, 1, #fields))
  if has.err then
    return nil, has
  end
  local penalty, rows = whole(has[1] or "0"), {}
  local corrupt = "COORD_CORRUPT this limiter was not written by coord"
  if not penalty then
    return nil, redis.error_reply(corrupt)
  end
  for i = 3, #fields do
    local at = 6 * i - 18 + first
    local amount, cost_us, cost_part, burst_us, burst_part = limit_at(at)
    if not amount then
      return nil, redis.error_reply("COORD_RANGE a limit's number is above 2^50")
    end
    local us, part = tat(has[i], now)
    if not us then
      return nil, redis.error_reply(corrupt)
    end
    local after_us, after_part = us + cost_us, part + cost_part
    if after_part >= amount then
      after_us, after_part = after_us + 1, after_part - amount
    end
    -- Rounded up: a wait is never shorter than it must be.
    local wait = after_us - burst_us - now
    if after_part > burst_part then
      wait = wait + 1
    end
    rows[i - 2] = {
      field = fields[i], us = us, part = part, cost_us = cost_us, cost_part = cost_part,
      after_us = after_us, after_part = after_part, wait = wait,
    }
  end
  return rows, penalty, has[2]
end
