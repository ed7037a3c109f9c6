-- whole: whether a text is a whole number, in digits without leading zeros, that a Lua
-- number holds exactly.
local function whole(text)
  return #text <= 16 and (text == "0" or string.find(text, "^[1-9]%d*$"))
    and tonumber(text) < 9007199254740992
end
