-- exact: the number that a text of digits is; false: it has leading zeros, or a Lua
-- number does not hold it exactly. Arithmetic converts twice as fast as tonumber.
local function exact(text)
  local number = (text >= "1" or text == "0") and text + 0
  return number and number < 9007199254740992 and number
end
