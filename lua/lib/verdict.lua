-- verdict: the answer of a limiter as text: whether the cost passes, how long it has to
-- wait, which limit makes it wait, what is left of the penalty, and by how much each
-- limit's time is ahead of now; after the cost when it passes and is taken. Return the
-- answer, and whether the cost passes.
-- include: digits
local function verdict(rows, penalty, now, taken)
  local penalized, longest, refusing = math.max(0, penalty - now), 0, 0
  for i, row in ipairs(rows) do
    if row.wait > longest then
      longest, refusing = row.wait, i
    end
  end
  local wait = math.max(longest, penalized)
  local answer = "1,0,0,0"
  if wait > 0 then
    answer = "0," .. digits(wait) .. "," .. (penalized > 0 and 0 or refusing) .. ","
      .. digits(penalized)
  end
  for _, row in ipairs(rows) do
    local us, part = row.us, row.part
    if taken and wait == 0 then
      us, part = row.after_us, row.after_part
    end
    answer = answer .. "," .. digits(us - now) .. "," .. digits(part)
  end
  return answer, wait == 0
end
