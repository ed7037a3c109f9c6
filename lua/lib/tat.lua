-- tat: a limit's theoretical arrival time, when it is full again: microseconds, and a
-- part of one in units of 1/amount; now when it is full; nil: not a time.
-- include: exact
local function tat(kept, now)
  if not kept then
    return now, 0
  end
  local us, part = string.match(kept, "^([0-9]+)|([0-9]+)$")
  us, part = us and exact(us), us and exact(part)
  -- A later sum must stay below 2^53; limiters write nothing as large.
  if not us or not part or us > 4503599627370496 or part > 1125899906842624 then
    return nil
  end
  if us < now then
    return now, 0
  end
  return us, part
end
