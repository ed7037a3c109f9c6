-- moment: a time as a limiter keeps it.
-- include: digits
local function moment(us, part)
  if us >= 1000000000 and part < 1000000000 then
    -- As digits would, by one format instead of two.
    local high = math.floor(us / 1000000000)
    return string.format("%d%09d|%d", high, us - high * 1000000000, part)
  end
  return digits(us) .. "|" .. digits(part)
end
