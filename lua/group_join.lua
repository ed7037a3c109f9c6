-- group_join: become a member of a group, or take over a member's name.
--
-- KEYS   group      hash, expiring: its members                coord:group:{name}
--        tombstone  string, expiring: 1 or 0  coord:group:{name}:tombstone:<nonce>
--        answered   string, expiring: 1 or 0  coord:group:{name}:answered:<call>
--        taken      string, expiring: its taker  coord:group:{name}:taken:<member>
-- ARGV   member     name    the name of the member
--        nonce      name    made for this membership
--        metadata   str     JSON that members() returns
--        ttl_ms     ms      how long it stays a member from now
--        rejoins    count   the incarnation that has lapsed and comes back, unless the
--                           name is taken; 0: a new one, which takes it from the living
--        tombstone_ms  ms   how long an answer is kept: longer than any retry
--        publish    PUBLISH|SPUBLISH    how to notify the waiters
--        repeated   0|1     1: an earlier copy of this call may still be executed
-- REPLY  {joined, incarnation}
--        joined       1 when it is a member now, else 0
--        incarnation  above every one of this name before; "0" when refused
-- ERRORS WRONGTYPE, COORD_CORRUPT
-- COST   O(members), two writes and a notification, two more when members have died,
--        one when a name is taken over, and one when repeated
-- REPEAT safe: the nonce gets the same incarnation; a nonce that has left, or a call
--        that was answered before, gets none

local group, tombstone, answered, taken = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local member, nonce, metadata, ttl_ms = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local rejoins, tombstone_ms, publish, repeated = ARGV[5], ARGV[6], ARGV[7], ARGV[8]

-- include: membership
-- include: above
-- include: sweep
-- include: all_whole
-- include: answer_once

local held = redis.pcall("HGET", group, "d:" .. member)
if type(held) == "table" then
  return held
end
local deadline, before, attempt = 0, nil, nil
if held then
  deadline, before, attempt = membership(held)
  if not deadline then
    return redis.error_reply("COORD_CORRUPT this group was not written by coord")
  end
end
local time = redis.call("TIME")
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local lives = held and deadline >= now

if lives and attempt == nonce then
  answer_once(answered, repeated, tombstone_ms, "1")
  return { 1, before }
end
if redis.call("EXISTS", tombstone, answered) > 0 then
  return { 0, "0" }
end
if rejoins ~= "0" then
  local taker = redis.call("GET", taken) or "0"
  if not all_whole(taker, rejoins) then
    return redis.error_reply("COORD_CORRUPT this group was not written by coord")
  end
  if lives or taker + 0 > rejoins + 0 then
    answer_once(answered, repeated, tombstone_ms, "0")
    return { 0, "0" }
  end
end
local incarnation = above(before, time)
local ends = now + ttl_ms
local entry = string.format("%.0f", ends) .. "|" .. incarnation .. "|" .. nonce
local last = sweep(group, now)
redis.call("HSET", group, "d:" .. member, entry, "m:" .. member, metadata)
redis.call("PEXPIREAT", group, string.format("%.0f", math.max(last, ends)))
if lives then
  -- Its heartbeats may come only after this membership has ended.
  local remember_ms = math.max(tombstone_ms + 0, deadline - now + 1)
  redis.call("SET", taken, incarnation, "PX", string.format("%.0f", remember_ms))
end
answer_once(answered, repeated, tombstone_ms, "1")
redis.call(publish, group, "joined")
return { 1, incarnation }
