-- membership: deadline, incarnation and nonce of a member; nil: not written by coord.
-- include: exact
local function membership(held)
  local deadline, incarnation, nonce = string.match(held, "^([0-9]+)|([0-9]+)|(.*)$")
  deadline = nonce and exact(deadline)
  if deadline and exact(incarnation) then
    return deadline, incarnation, nonce
  end
end
