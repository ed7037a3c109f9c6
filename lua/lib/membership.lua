-- membership: deadline, incarnation and nonce of a member; nil: not written by coord.
local function membership(held)
  -- One match for all of it, and arithmetic to convert: ``whole`` takes twice as long.
  local deadline, incarnation, nonce = string.match(
    held, "^([1-9][0-9]*)|([1-9][0-9]*)|(.*)$"
  )
  local exact = 9007199254740992
  if nonce and deadline + 0 < exact and incarnation + 0 < exact then
    return deadline + 0, incarnation, nonce
  end
end
