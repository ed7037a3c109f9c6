-- put_window: write the window of a quota, and keep the quota until it ends.
-- include: keep_until
local function put_window(quota, row, now)
  redis.call("HSET", quota, row.per,
    string.format("%.0f|%.0f|%.0f", row.number, row.spent, row.held))
  keep_until(quota, row.ends * 1000, now * 1000)
end
