-- group_leave: leave a group, unless another has taken over the member's name.
--
-- KEYS   group      hash, expiring: its members                coord:group:{name}
--        tombstone  string, expiring: 1 or 0  coord:group:{name}:tombstone:<nonce>
-- ARGV   member   name    the name of the member
--        nonce    name    the membership that ends, or may yet begin
--        tombstone_ms  ms    how long the nonce stays refused: longer than any retry
--        publish  PUBLISH|SPUBLISH    how to notify the waiters
-- REPLY  1 when it was a member until now, else 0
-- ERRORS WRONGTYPE, COORD_CORRUPT
-- COST   O(members), three writes and a notification when it was a member, else two
-- REPEAT safe: the tombstone gives the first answer

local group, tombstone = KEYS[1], KEYS[2]
local member, nonce, tombstone_ms, publish = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

-- include: membership
-- include: now_ms
-- include: sweep

local held = redis.pcall("HGET", group, "d:" .. member)
if type(held) == "table" then
  return held
end
local deadline, attempt = 0, nil
if held then
  local _
  deadline, _, attempt = membership(held)
  if not deadline then
    return redis.error_reply("COORD_CORRUPT this group was not written by coord")
  end
end
local now = now_ms()
if attempt == nonce and deadline >= now then
  -- First a write that takes no memory: a full server then lets the others pass.
  redis.call("HDEL", group, "d:" .. member, "m:" .. member)
  local last = sweep(group, now)
  if last > 0 then
    redis.call("PEXPIREAT", group, string.format("%.0f", last))
  end
  redis.call("SET", tombstone, "1", "PX", tombstone_ms)
  redis.call(publish, group, "left")
  return 1
end
local answer = redis.call("GET", tombstone)
if answer then
  return tonumber(answer)
end
redis.call("DEL", tombstone)
redis.call("SET", tombstone, "0", "PX", tombstone_ms)
return 0
