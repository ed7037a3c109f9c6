-- all_whole: whether each of some values is there, and is a whole number.
-- include: whole
local function all_whole(...)
  for i = 1, select("#", ...) do
    local text = select(i, ...)
    if not text or not whole(text) then
      return false
    end
  end
  return true
end
