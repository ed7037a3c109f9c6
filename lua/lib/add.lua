-- add: the exact sum of two whole numbers in digits; nil when it leaves 64 bits.
-- A Lua number is a double, exact to fifteen digits: of more, the sum is made of
-- halves, nine digits below and the rest above.
local function add(left, right)
  if #left < 16 and #right < 16 then
    return string.format("%.0f", left + right)
  end
  local high, low = 0, 0
  for _, number in ipairs({ left, right }) do
    local sign, digits = string.match(number, "^(%-?)(%d+)$")
    local one = sign == "-" and -1 or 1
    high = high + one * (tonumber(string.sub(digits, 1, -10)) or 0)
    low = low + one * tonumber(string.sub(digits, -9))
  end
  if math.abs(low) >= 1000000000 then
    local carry = low > 0 and 1 or -1
    high, low = high + carry, low - carry * 1000000000
  end
  if high > 0 and low < 0 then
    high, low = high - 1, low + 1000000000
  elseif high < 0 and low > 0 then
    high, low = high + 1, low - 1000000000
  end
  local most = high < 0 and 854775808 or 854775807
  local size = math.abs(high)
  if size > 9223372036 or size == 9223372036 and math.abs(low) > most then
    return nil
  end
  if high == 0 then
    return string.format("%.0f", low)
  end
  return string.format("%s%.0f%09.0f", high < 0 and "-" or "", size, math.abs(low))
end
