-- whole: the whole number that a text is, in digits without leading zeros; false: it is
-- none, or a Lua number does not hold it exactly.
local function whole(text)
  -- A set matches faster than %d, and arithmetic converts faster than tonumber.
  local number = (text == "0" or string.find(text, "^[1-9][0-9]*$")) and text + 0
  return number and number < 9007199254740992 and number
end
