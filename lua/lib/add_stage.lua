-- add_stage: note the name of one more stage of a request, with nothing pending.
local function add_stage(request, stages, stage)
  local number = string.format("%.0f", stages + 1)
  redis.call("HSET", request, "stages", number, "s:" .. number, stage,
    "p:" .. stage, "0")
end
