-- group_beat: keep some members alive for longer.
--
-- KEYS   group      hash, expiring: its members                coord:group:{name}
-- ARGV   ttl_ms     ms      how long they stay members from now
--        member...  name    at least one member's name
--        nonce...   name    its membership
-- REPLY  {state, ...}
--        state    of each: 1 when it lives, 0 when its time was over, 2 when another
--                 has taken over its name
-- ERRORS WRONGTYPE, COORD_CORRUPT
-- COST   O(members that are given), a write for 500 of them, and one
-- REPEAT safe: they live from the second run on

local group = KEYS[1]
local ttl_ms = ARGV[1]

-- include: membership
-- include: now_ms

local stored = redis.pcall("HLEN", group)
if type(stored) == "table" then
  return stored
end
local now = now_ms()
local ends = string.format("%.0f", now + ttl_ms)
local states, alive = {}, {}
for i = 2, #ARGV, 2 do
  local held = redis.call("HGET", group, "d:" .. ARGV[i])
  local state = 0
  if held then
    local deadline, incarnation, nonce = membership(held)
    if not deadline then
      return redis.error_reply("COORD_CORRUPT this group was not written by coord")
    end
    if deadline >= now then
      state = nonce == ARGV[i + 1] and 1 or 2
    end
    if state == 1 then
      alive[#alive + 1] = "d:" .. ARGV[i]
      alive[#alive + 1] = ends .. "|" .. incarnation .. "|" .. nonce
    end
  end
  states[#states + 1] = state
end
if #alive > 0 then
  -- A write that takes no memory comes first: a full server then lets the others pass.
  local lasts = math.max(redis.call("PTTL", group), tonumber(ttl_ms))
  redis.call("PEXPIRE", group, string.format("%.0f", lasts))
  for i = 1, #alive, 1000 do
    redis.call("HSET", group, unpack(alive, i, math.min(i + 999, #alive)))
  end
end
return states
