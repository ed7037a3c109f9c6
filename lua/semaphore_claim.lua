-- semaphore_claim: take a permit, unless the limit would be exceeded.
--
-- A permit is two members whose score is its deadline in ms: nonce|weight|fence|owner,
-- and =owner, by which it is found. The scores of "used" and "fence" are the weight of
-- all permits and the last fence, negated, so that only deadlines are above 0.
--
-- KEYS   semaphore  zset, expiring: permits by deadline    coord:semaphore:{name}
--        tombstone  string, expiring: 1 or 0  coord:semaphore:{name}:tombstone:<nonce>
--        answered   string, expiring: 1 or 0  coord:semaphore:{name}:answered:<call>
-- ARGV   owner      name    the caller; the owner of a permit gets it again
--        nonce      name    made for this attempt; has no "|" or "="
--        limit      count   how much all permits together may weigh
--        weight     count   how much this one weighs; at least 1
--        ttl_ms     ms      how long to hold it from now
--        tombstone_ms  ms   how long an answer is kept: longer than any retry
--        repeated   0|1     1: an earlier copy of this call may still be executed
-- REPLY  {granted, permit, fence, left_ms}
--        granted    1 when the caller has a permit now, else 0
--        permit     its member nonce|weight|fence|owner; "" when refused
--        fence      above every fence granted before; "0" when refused
--        left_ms    how long it is held; of a refusal, until the first permit ends
-- ERRORS WRONGTYPE, COORD_RANGE, COORD_CORRUPT
-- COST   O(log permits), two writes when granted, two when permits have ended (at most
--        50 a call), and one when repeated
-- REPEAT safe: the owner gets the same permit; a nonce that was released, or a call
--        that was answered before, gets none

local semaphore, tombstone, answered = KEYS[1], KEYS[2], KEYS[3]
local owner, nonce, limit, weight = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local ttl_ms, tombstone_ms, repeated = ARGV[5], ARGV[6], ARGV[7]

-- include: whole
-- include: at_ms
-- include: above
-- include: answer_once
-- include: permit_of
-- include: outlive

local has = redis.pcall("ZMSCORE", semaphore, "used", "fence", "=" .. owner)
if has.err then
  return has
end
if tonumber(weight) < 1 or tonumber(weight) > tonumber(limit)
  or tonumber(limit) > 1000000000 or string.find(nonce, "[|=]") then
  return redis.error_reply(
    "COORD_RANGE a permit weighs 1 to its limit, at most 1000000000; its nonce is plain"
  )
end
local used = string.match(has[1] or "0", "^%-?(%d+)$")
local fence = string.match(has[2] or "0", "^%-?(%d+)$")
if not used or not fence or not whole(used) or not whole(fence) then
  return redis.error_reply("COORD_CORRUPT this semaphore was not written by coord")
end
used = tonumber(used)
local time = redis.call("TIME")
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local ended = redis.call(
  "ZRANGE", semaphore, "(0", string.format("(%.0f", now), "BYSCORE", "LIMIT", 0, 100
)
if #ended > 0 then
  for _, member in ipairs(ended) do
    used = used - (string.match(member, "^[^|=]+|(%d+)|%d+|") or 0)
  end
  redis.call("ZREM", semaphore, unpack(ended, 1, #ended))
  redis.call("ZADD", semaphore, string.format("%d", -used), "used")
end

local function refuse()
  answer_once(answered, repeated, tombstone_ms, "0")
  local first = redis.call(
    "ZRANGE", semaphore, "(0", "+inf", "BYSCORE", "LIMIT", 0, 1, "WITHSCORES"
  )
  return { 0, "", "0", first[2] and math.max(0, at_ms(first[2]) - now) or 0 }
end

local deadline = at_ms(has[3] or "0")
if deadline >= now then
  local permit, weighs, since = permit_of(semaphore, owner, has[3])
  if weighs ~= weight then
    return refuse()
  end
  -- Never shorter: another lease of the same owner counts on the time it was given.
  if deadline < now + ttl_ms then
    deadline = now + ttl_ms
    local ends = string.format("%.0f", deadline)
    redis.call("ZADD", semaphore, ends, permit, ends, "=" .. owner)
    outlive(semaphore, 0)
  end
  answer_once(answered, repeated, tombstone_ms, "1")
  return { 1, permit, since, deadline - now }
end
if redis.call("EXISTS", tombstone, answered) > 0 or used + weight > tonumber(limit) then
  return refuse()
end
fence = above(fence, time)
local permit = nonce .. "|" .. weight .. "|" .. fence .. "|" .. owner
local ends = string.format("%.0f", now + ttl_ms)
redis.call("ZADD", semaphore, string.format("%d", -used - weight), "used",
  "-" .. fence, "fence", ends, permit, ends, "=" .. owner)
outlive(semaphore, 0)
answer_once(answered, repeated, tombstone_ms, "1")
return { 1, permit, fence, tonumber(ttl_ms) }
