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
-- include: windows

local now = now_ms()
local freed, wrong = lapsed(held, now)
if not freed then
  return wrong
end
local pers = {}
for i = 1, #ARGV, 1 do
  pers[#pers + 1] = ARGV[i]
end
local rows, err = windows(quota, pers, now, freed)
if not rows then
  return err
end
local reply = {}
for _, row in ipairs(rows) do
  reply[#reply + 1], reply[#reply + 2] = row.spent, row.held
  reply[#reply + 1] = row.ends - now
end
return reply
