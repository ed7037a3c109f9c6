-- whole: the whole number that a text is, in digits without leading zeros; false: it is
-- none, or a Lua number does not hold it exactly.
local function whole(text)
  local number = #text <= 16 and (text == "0" or string.find(text, "^[1-9]%d*$"))
    and tonumber(text)
  return number and number < 9007199254740992 and number
end
