-- moment: a time as a limiter keeps it.
-- include: digits
local function moment(us, part)
  return digits(us) .. "|" .. digits(part)
end
