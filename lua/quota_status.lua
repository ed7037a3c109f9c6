-- quota_status: what is spent and held in the present windows.
--
-- KEYS   quota        hash, expiring: length to window          coord:quota:{name}
--        held         zset, expiring: what is held until when   coord:quota:{name}:held
-- ARGV   per...       count   at least one: the length of a window in milliseconds
-- REPLY  {spent, held, left_ms, ...}
--        left_ms    how long the window lasts
-- ERRORS WRONGTYPE, COORD_CORRUPT, COORD_RANGE
-- COST   O(limits + reservations that lapsed), no write
-- REPEAT safe: it changes nothing

local quota, held = KEYS[1], KEYS[2]

-- include: now_ms
-- include: lapsed
-- include: window

local now = now_ms()
local freed, wrong = lapsed(held, now)
if not freed then
  return wrong
end
local kind = redis.pcall("HLEN", quota)
if type(kind) == "table" then
  return kind
end
local reply = {}
for i = 1, #ARGV, 1 do
  local length = { per = tonumber(ARGV[i]) }
  if length.per < 1 or length.per > 1000000000000000 then
    return redis.error_reply("COORD_RANGE a limit's numbers are at most 10^15")
  end
  local row = window(quota, ARGV[i], now, freed)
  if not row then
    return redis.error_reply("COORD_CORRUPT this quota was not written by coord")
  end
  reply[#reply + 1], reply[#reply + 2] = row.spent, row.held
  reply[#reply + 1] = row.ends - now
end
return reply
