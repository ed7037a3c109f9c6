-- int64: whether a text is a signed 64-bit integer, in digits, without leading zeros.
local function int64(text)
  local sign, digits = string.match(text, "^(%-?)([1-9]%d*)$")
  if not digits then
    return text == "0"
  end
  local most = sign == "-" and "9223372036854775808" or "9223372036854775807"
  return #digits < 19 or #digits == 19 and digits <= most
end
