-- group_members: return the members of a group that live.
--
-- KEYS   group    hash, expiring: its members                  coord:group:{name}
-- ARGV   none
-- REPLY  {member, state, ...}
--        member   its name
--        state    incarnation|left_ms|metadata
-- ERRORS WRONGTYPE, COORD_CORRUPT
-- COST   O(members and their metadata), no write
-- REPEAT safe: it changes nothing

local group = KEYS[1]

-- include: membership
-- include: now_ms
-- include: digits

local now = now_ms()
local stored = redis.pcall("HGETALL", group)
if stored.err then
  return stored
end
local reply = {}
for i = 1, #stored, 2 do
  local field = stored[i]
  if string.sub(field, 1, 2) == "d:" then
    local deadline, incarnation = membership(stored[i + 1])
    if not deadline then
      return redis.error_reply("COORD_CORRUPT this group was not written by coord")
    end
    if deadline >= now then
      local member, left = string.sub(field, 3), digits(deadline - now)
      local beside = "m:" .. member
      -- In a small hash the metadata follows; that is faster than a table of all.
      local metadata = stored[i + 2] == beside and stored[i + 3]
        or redis.call("HGET", group, beside) or ""
      reply[#reply + 1] = member
      reply[#reply + 1] = incarnation .. "|" .. left .. "|" .. metadata
    end
  end
end
return reply
