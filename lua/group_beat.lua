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
-- include: digits

local fields = {}
for i = 2, #ARGV, 2 do
  fields[#fields + 1] = "d:" .. ARGV[i]
end
local now = now_ms()
local ends = digits(now + ttl_ms)
local states, alive, first = {}, {}, 0
repeat
  local most = math.min(first + 1000, #fields)
  local stored = redis.pcall("HMGET", group, unpack(fields, first + 1, most))
  if stored.err then
    return stored
  end
  for i, held in ipairs(stored) do
    local state, at = 0, first + i
    if held then
      local deadline, incarnation, nonce = membership(held)
      if not deadline then
        return redis.error_reply("COORD_CORRUPT this group was not written by coord")
      end
      if deadline >= now then
        state = nonce == ARGV[2 * at + 1] and 1 or 2
      end
      if state == 1 then
        alive[#alive + 1] = fields[at]
        alive[#alive + 1] = ends .. "|" .. incarnation .. "|" .. nonce
      end
    end
    states[at] = state
  end
  first = first + 1000
until first >= #fields
if #alive > 0 then
  -- A write that takes no memory comes first: a full server then lets the others pass.
  local lasts = math.max(redis.call("PTTL", group), tonumber(ttl_ms))
  redis.call("PEXPIRE", group, lasts)
  for i = 1, #alive, 1000 do
    redis.call("HSET", group, unpack(alive, i, math.min(i + 999, #alive)))
  end
end
return states
