-- moment: a time as a limiter keeps it.
local function moment(us, part)
  return string.format("%.0f|%.0f", us, part)
end
