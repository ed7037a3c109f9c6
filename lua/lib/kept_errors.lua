-- kept_errors: append source and message of each kept error to a reply.
local function kept_errors(entity, counter, count, reply)
  local fields = {}
  for i = 1, math.min(tonumber(count), 100) do
    fields[i] = counter .. ":" .. i
  end
  if #fields == 0 then
    return
  end
  for _, kept in ipairs(redis.call("HMGET", entity, unpack(fields))) do
    local source, message = string.match(kept or "", "^([^\n]*)\n(.*)$")
    reply[#reply + 1] = source or ""
    reply[#reply + 1] = message or ""
  end
end
