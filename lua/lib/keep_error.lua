-- keep_error: count an error under a field, and keep the first hundred messages
-- in fields of their own.
local function keep_error(entity, counter, source, message)
  local count = redis.call("HINCRBY", entity, counter, 1)
  if count >= 1 and count <= 100 then
    redis.call("HSET", entity, counter .. ":" .. count, source .. "\n" .. message)
  end
end
