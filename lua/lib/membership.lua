-- membership: deadline, incarnation and nonce of a member; nil: not written by coord.
-- include: whole
local function membership(held)
  local deadline, incarnation, nonce = string.match(held, "^(%d+)|(%d+)|(.*)$")
  if nonce and whole(deadline) and whole(incarnation) then
    return tonumber(deadline), incarnation, nonce
  end
end
