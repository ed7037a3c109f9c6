-- put_windows: write windows of a quota, and keep the quota until the last one ends.
-- include: keep_until
-- include: digits
local function put_windows(quota, rows, now)
  local words, last = {}, 0
  for _, row in ipairs(rows) do
    words[#words + 1] = row.per
    words[#words + 1] = row.number .. "|" .. digits(row.spent) .. "|"
      .. digits(row.held)
    last = math.max(last, row.ends)
  end
  redis.call("HSET", quota, unpack(words, 1, #words))
  keep_until(quota, last * 1000, now * 1000)
end
