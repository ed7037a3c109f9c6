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

local now = now_ms()
local stored = redis.pcall("HGETALL", group)
if stored.err then
  return stored
end
local metadata, reply = {}, {}
for i = 1, #stored, 2 do
  if string.sub(stored[i], 1, 2) == "m:" then
    metadata[string.sub(stored[i], 3)] = stored[i + 1]
  end
end
for i = 1, #stored, 2 do
  local member = string.match(stored[i], "^d:(.*)$")
  if member then
    local deadline, incarnation = membership(stored[i + 1])
    if not deadline then
      return redis.error_reply("COORD_CORRUPT this group was not written by coord")
    end
    if deadline >= now then
      local left = string.format("%.0f", deadline - now)
      reply[#reply + 1] = member
      reply[#reply + 1] = incarnation .. "|" .. left .. "|" .. (metadata[member] or "")
    end
  end
end
return reply
