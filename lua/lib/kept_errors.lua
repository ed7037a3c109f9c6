-- kept_errors: append source and message of each kept error to a reply.
local function kept_errors(entity, counter, count, reply)
  for i = 1, math.min(tonumber(count), 100) do
    local kept = redis.call("HGET", entity, counter .. ":" .. i)
    local source, message = string.match(kept, "^([^\n]*)\n(.*)$")
    reply[#reply + 1] = source
    reply[#reply + 1] = message
  end
end
