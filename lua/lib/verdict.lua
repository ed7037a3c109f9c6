-- verdict: the answer of a limiter as text: whether the cost passes, how long it has to
-- wait, which limit makes it wait, what is left of the penalty, and by how much each
-- limit's time is ahead of now: after the cost when it has passed.
local function verdict(rows, penalty, now, passed)
  local penalized, longest, refusing = math.max(0, penalty - now), 0, 0
  for i, row in ipairs(rows) do
    if row.wait > longest then
      longest, refusing = row.wait, i
    end
  end
  local wait = math.max(longest, penalized)
  local answer = string.format("%d,%.0f,%d,%.0f", wait == 0 and 1 or 0, wait,
    penalized > 0 and 0 or refusing, penalized)
  for _, row in ipairs(rows) do
    local us, part = row.us, row.part
    if passed then
      us, part = row.after_us, row.after_part
    end
    answer = answer .. string.format(",%.0f,%.0f", us - now, part)
  end
  return answer
end
