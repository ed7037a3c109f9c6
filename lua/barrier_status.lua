-- barrier_status: how far a barrier has come.
--
-- KEYS   barrier   hash: its state                           coord:barrier:{name}
-- ARGV   seen      str     the attempt that is waited for; when another is there, the
--                          last that ended is told of; "": whichever is there
-- REPLY  {attempt, parties, arrived, state, left_ms, metadata, reason, errors,
--          member, message, ...}; {} when unknown
--        state     open, complete, aborted, or expired: open past its deadline
--        left_ms   how long it stays open; -1: without a deadline
--        errors    how many have failed; the first hundred follow with their messages
-- ERRORS WRONGTYPE
-- COST   O(errors kept), no write
-- REPEAT safe: it changes nothing

local barrier = KEYS[1]
local seen = ARGV[1]

-- include: now_ms
-- include: kept_errors

local known = redis.pcall("HMGET", barrier, "attempt", "last_attempt")
if known.err or not known[1] then
  return known.err and known or {}
end
local of = ""
if seen ~= "" and seen ~= known[1] and known[2] then
  of = "last_"
end
local has = redis.call("HMGET", barrier, of .. "attempt", of .. "parties",
  of .. "arrived", of .. "state", of .. "ends", of .. "metadata", of .. "reason",
  of .. "errors")
local state, left_ms = has[4], -1
if has[5] ~= "0" then
  left_ms = math.max(has[5] - now_ms(), -1)
  if state == "open" and left_ms < 0 then
    state = "expired"
  end
  left_ms = math.max(left_ms, 0)
end
local parties, arrived, errors = tonumber(has[2]), tonumber(has[3]), tonumber(has[8])
local reply = { has[1], parties, arrived, state, left_ms, has[6], has[7], errors }
kept_errors(barrier, of .. "errors", has[8], reply)
return reply
