-- whole: whether a text is a whole number, in digits, that a Lua number holds exactly.
local function whole(text)
  return #text <= 16 and string.find(text, "^%d+$")
    and tonumber(text) < 9007199254740992
end
