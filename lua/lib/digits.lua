-- digits: a whole number from 0 to 2^53 as text; printing a long one at once is slow.
local function digits(number)
  if number < 1000000000 then
    return string.format("%d", number)
  end
  local high = math.floor(number / 1000000000)
  return string.format("%d%09d", high, number - high * 1000000000)
end
