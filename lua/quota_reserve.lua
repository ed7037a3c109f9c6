-- quota_reserve: hold an amount in the present windows, all of them or none.
--
-- KEYS   quota        hash, expiring: length to window          coord:quota:{name}
--        reservation  hash, expiring: its state  coord:quota:{name}:reservation:<id>
--        held         zset, expiring: what is held until when   coord:quota:{name}:held
-- ARGV   nonce        name    made for this attempt
--        amount       count   how much to hold
--        ttl_ms       ms      how long to hold it from now
--        grace_ms     ms      how long after that it may still be settled
--        named        0|1     1: the id is the caller's, and outlives its windows
--        tombstone_ms  ms     how long to keep a refusal of a repeated call
--        repeated     0|1     1: an earlier copy of this call may still be executed
--        per...       count   at least one: the length of a window in milliseconds
--        most...      count   the most that may be spent and held in it
-- REPLY  {granted, nonce, amount, settled, refusing, retry_ms}
--        granted    1 when there is a reservation, else 0
--        nonce      the attempt that made it, or an earlier one of the same id
--        amount     what it holds
--        settled    1 when it was settled before
--        refusing   which limit refuses longest; 0: none
--        retry_ms   until its window ends
-- ERRORS WRONGTYPE, COORD_CORRUPT, COORD_RANGE
-- COST   O(limits + reservations that lapsed), six writes
-- REPEAT safe: the attempt that made it gets the same answer

local quota, reservation, held = KEYS[1], KEYS[2], KEYS[3]
local nonce, amount, ttl_ms, grace_ms = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local named, tombstone_ms, repeated = ARGV[5], ARGV[6], ARGV[7]

-- include: now_ms
-- include: lapsed
-- include: windows
-- include: reclaim
-- include: put_windows
-- include: keep_until
-- include: all_whole
-- include: extend_hold

local now = now_ms()
local has = redis.pcall("HMGET", reservation, "state", "nonce", "member", "deadline",
  "keep", "refusing", "retry_ms")
if has.err then
  return has
end
local mine = has[2] == nonce
if has[1] == "refused" and mine then
  return { 0, "", 0, 0, tonumber(has[6] or 0), tonumber(has[7] or 0) }
end
local kept = has[3] and string.match(has[3], "^([0-9]+)|")
if kept and not all_whole(kept, has[4], has[5]) then
  return redis.error_reply("COORD_CORRUPT this reservation was not written by coord")
end
if kept and has[1] == "held" and tonumber(has[4]) > now then
  if tonumber(has[4]) < now + ttl_ms then
    -- Never shorter: another holder of the same id counts on the time it was given.
    local kind = extend_hold(reservation, held, has[3], has[5], now, ttl_ms, grace_ms)
    if kind then
      return kind
    end
  end
  return { 1, has[2], tonumber(kept), 0, 0, 0 }
end
if kept and (mine or has[1] == "settled") then
  return { 1, has[2], tonumber(kept), has[1] == "settled" and 1 or 0, 0, 0 }
end
local holds = tonumber(amount)
if holds < 1 or holds > 1000000000000000 then
  return redis.error_reply("COORD_RANGE an amount is from 1 to 10^15")
end
local freed, wrong = lapsed(held, now)
if not freed then
  return wrong
end
local pers = {}
for i = 8, #ARGV, 2 do
  pers[#pers + 1] = ARGV[i]
end
local rows, err = windows(quota, pers, now, freed)
if not rows then
  return err
end
local refusing, retry_ms, last, names = 0, 0, 0, {}
for i, row in ipairs(rows) do
  local most = tonumber(ARGV[2 * i + 7])
  if most > 1000000000000000 then
    return redis.error_reply("COORD_RANGE a limit's numbers are at most 10^15")
  end
  last, names[i] = math.max(last, row.ends), row.name
  if row.spent + row.held + holds > most and row.ends - now > retry_ms then
    refusing, retry_ms = i, row.ends - now
  end
end
reclaim(quota, held, freed, now)
if refusing > 0 then
  if repeated == "1" then
    redis.call("DEL", reservation)
    redis.call("HSET", reservation, "state", "refused", "nonce", nonce,
      "refusing", refusing, "retry_ms", retry_ms)
    redis.call("PEXPIRE", reservation, tombstone_ms)
  end
  return { 0, "", 0, 0, refusing, retry_ms }
end
local member = digits(holds) .. "|" .. table.concat(names, ",") .. "|" .. nonce
redis.call("ZADD", held, now + ttl_ms, member)
keep_until(held, last * 1000, now * 1000)
redis.call("HSET", reservation, "state", "held", "nonce", nonce, "member", member,
  "deadline", now + ttl_ms, "keep", named == "1" and last or 0,
  "until", now + ttl_ms + grace_ms)
redis.call("PEXPIRE", reservation,
  math.max(ttl_ms + grace_ms, named == "1" and last - now + 1 or 0))
for _, row in ipairs(rows) do
  row.held = row.held + holds
end
put_windows(quota, rows, now)
return { 1, nonce, holds, 0, 0, 0 }
