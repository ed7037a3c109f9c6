-- The environment of a script, as on a server: read-only globals, the functions of
-- `redis`, no files, no processes. Returns how to compile a script and how to run it.
local host, libraries = ...

local execute, double_text, sha1hex, log, tick, stop, without_tail_calls = unpack(host)
local floor, format, rawget, select, type = math.floor, string.format, rawget, select, type
local real_pcall, real_pairs, real_next, real_load = pcall, pairs, next, loadstring

local READ_ONLY = "Attempt to modify a readonly table"
local NOT_A_WORD = "ERR Lua redis lib command arguments must be strings or integers"
local NO_WORDS = "ERR Please specify at least one argument for this redis lib call"
local TOO_DEEP = "ERR reached lua stack limit"
local DEEPEST = 1000

-- A read-only table is an empty one in front of the real one.
local real = {}
local function read_only(table, missing)
  local front = {}
  setmetatable(table, missing and { __index = missing })
  real[front] = table
  return setmetatable(front, {
    __index = table,
    __newindex = function()
      error(READ_ONLY, 2)
    end,
    __metatable = false,
  })
end

-- Thrown when Python raised in the middle of a script: no script can catch it.
local ABORTED = {}

local function aborted(why)
  return why == ABORTED or (type(why) == "userdata" and stop(why))
end

local function caught(done, why, ...)
  if not done then
    if aborted(why) then
      error(ABORTED, 0)
    end
    if type(why) == "table" and rawget(why, "err") ~= nil then
      return false, why.err
    end
  end
  return done, why, ...
end

local function failed(text)
  return { err = text, ignore_error_stats_update = nil }
end

-- Numbers travel as Redis prints them: whole ones in digits, others as short as they can be.
local function number_text(number)
  if number == floor(number) and number >= -4611686018427387904 and number <= 4611686018427387904 then
    return format("%.0f", number + 0)
  end
  return double_text(format("%.17g", number))
end

local function answered(reply, kind, value)
  if reply ~= nil then
    return reply
  elseif kind == "list" then
    return value
  elseif kind == "status" then
    return { ok = value }
  elseif kind == "error" then
    return failed(value)
  end
  error(ABORTED, 0)
end

local function asked(...)
  local size = select("#", ...)
  -- Short commands of texts need no table: most are.
  local a, b, c, d, e = ...
  if type(a) == "string" and type(b) == "string" then
    if size == 2 then
      return answered(execute(a, b))
    elseif type(c) == "string" then
      if size == 3 then
        return answered(execute(a, b, c))
      elseif size == 5 and type(d) == "string" and type(e) == "string" then
        return answered(execute(a, b, c, d, e))
      end
    end
  end
  if size == 0 then
    return failed(NO_WORDS)
  end
  local words = { ... }
  for i = 1, size do
    local word = words[i]
    if type(word) == "number" then
      words[i] = word == 0 and "0" or number_text(word)
    elseif type(word) ~= "string" then
      return failed(NOT_A_WORD)
    end
  end
  if size < 200 then
    return answered(execute(unpack(words, 1, size)))
  end
  return answered(execute(words))
end

local redis = {
  LOG_DEBUG = 0,
  LOG_VERBOSE = 1,
  LOG_NOTICE = 2,
  LOG_WARNING = 3,
  REPL_NONE = 0,
  REPL_AOF = 1,
  REPL_SLAVE = 2,
  REPL_REPLICA = 2,
  REPL_ALL = 3,
  REDIS_VERSION = "7.2.4",
  REDIS_VERSION_NUM = 0x00070204,
  pcall = asked,
}

function redis.call(...)
  local reply = asked(...)
  if type(reply) == "table" and rawget(reply, "err") then
    error(reply, 0)
  end
  return reply
end

local function single(field, ...)
  local text = ...
  if select("#", ...) ~= 1 or type(text) ~= "string" then
    return failed("ERR wrong number or type of arguments")
  end
  return { [field] = text }
end

function redis.status_reply(...)
  return single("ok", ...)
end

function redis.error_reply(...)
  local reply = single("err", ...)
  local text = string.gsub(string.gsub(reply.err, "^%-", ""), "[\r\n]+$", "")
  text = string.gsub(text, "[\r\n]", " ")
  reply.err = string.find(text, " ", 1, true) and text or "ERR " .. text
  return reply
end

function redis.sha1hex(...)
  if select("#", ...) ~= 1 then
    error(failed("ERR wrong number of arguments"), 0)
  end
  return sha1hex(tostring(...))
end

function redis.log(...)
  local level = ...
  if select("#", ...) < 2 then
    error(failed("ERR redis.log() requires two arguments or more."), 0)
  elseif type(level) ~= "number" then
    error(failed("ERR First argument must be a number (log level)."), 0)
  elseif level < 0 or level > 3 then
    error(failed("ERR Invalid log level."), 0)
  end
  local words = { select(2, ...) }
  for i = 1, #words do
    words[i] = tostring(words[i])
  end
  log(level, table.concat(words, " "))
end

function redis.setresp(version)
  if version ~= 2 then
    error(failed("ERR memory:// replies as RESP2; redis.setresp(3) is refused"), 0)
  end
end

function redis.replicate_commands()
  return true
end

function redis.breakpoint()
  return false
end

function redis.acl_check_cmd()
  return true
end

function redis.set_repl() end
function redis.debug() end

-- drand48 of the C library, as servers have it.
local high, low = 0x1234AB, 0xCD330E
local function drawn()
  local product = low * 0xE66D + 0xB
  local carried = low * 0x5DEEC % 4294967296
  local sum = product + carried * 65536
  local next_low = sum % 16777216
  local rest = floor(sum / 16777216)
  local next_high = (rest + high * 0xECE66D) % 16777216
  high, low = next_high, next_low
  return floor((high * 16777216 + low) / 131072) % 2147483647 / 2147483647
end

local math_lib = {}
for name, value in real_pairs(math) do
  math_lib[name] = value
end

function math_lib.random(least, most)
  local number = drawn()
  if least == nil then
    return number
  elseif most == nil then
    least, most = 1, least
  end
  if least > most then
    error("bad argument #1 to 'random' (interval is empty)", 2)
  end
  return floor(number * (most - least + 1)) + least
end

function math_lib.randomseed(seed)
  local bits = seed % 4294967296
  high, low = floor(bits / 256), bits % 256 * 65536 + 0x330E
end

local base = { _VERSION = _VERSION }
for _, name in ipairs({
  "assert", "collectgarbage", "error", "gcinfo", "getmetatable", "ipairs", "rawequal",
  "rawget", "select", "setmetatable", "tonumber", "tostring", "type", "unpack",
}) do
  base[name] = _G[name]
end

local env = read_only(base, function(_, name)
  error("Script attempted to access nonexistent global variable '" .. tostring(name) .. "'", 2)
end)

base._G = env
base.redis = read_only(redis)
base.string = read_only(string)
base.table = read_only(table)
base.math = read_only(math_lib)
base.os = read_only({ clock = os.clock })
base.coroutine = read_only(coroutine)
for name, library in real_pairs(libraries) do
  base[name] = read_only(library)
end

function base.pcall(...)
  return caught(real_pcall(...))
end

function base.xpcall(f, handler)
  return caught(xpcall(f, function(why)
    return aborted(why) and ABORTED or handler(why)
  end))
end

function base.pairs(table)
  return real_pairs(real[table] or table)
end

function base.next(table, key)
  return real_next(real[table] or table, key)
end

function base.rawset(table, key, value)
  if real[table] then
    error(failed(READ_ONLY), 0)
  end
  return rawset(table, key, value)
end

function base.loadstring(text, name)
  if type(text) == "string" and string.byte(text) == 27 then
    return nil, "binary chunks are refused"
  end
  local chunk, why = real_load(text, name)
  if chunk then
    return setfenv(chunk, env)
  end
  return nil, why
end

function base.load(read, name)
  local parts = {}
  repeat
    local part = read()
    parts[#parts + 1] = part
  until part == nil or part == ""
  return base.loadstring(table.concat(parts), name or "=(load)")
end

-- --- replies ----------------------------------------------------------------------------
-- A reply is handed over as a row: numbers, texts, false for nil, and true in front of
-- whatever else there is: its kind, and what it consists of.

local put

local function put_list(row, size, reply, depth)
  local place, count = size + 3, 0
  row[size + 1], row[size + 2] = true, "list"
  size = place
  while true do
    local item = rawget(reply, count + 1)
    if item == nil then
      break
    end
    count = count + 1
    size = put(row, size, item, depth + 1)
  end
  row[place] = count
  return size
end

local function put_map(row, size, map, with_values, depth)
  local place, count = size + 3, 0
  row[size + 1], row[size + 2] = true, "list"
  size = place
  for key, value in real_pairs(map) do
    size = put(row, size, key, depth + 1)
    count = count + 1
    if with_values then
      size = put(row, size, value, depth + 1)
      count = count + 1
    end
  end
  row[place] = count
  return size
end

local function put_text(row, size, kind, text)
  row[size + 1], row[size + 2], row[size + 3] = true, kind, text
  return size + 3
end

function put(row, size, reply, depth)
  local kind = type(reply)
  if kind == "number" or kind == "string" then
    row[size + 1] = reply
    return size + 1
  elseif kind == "boolean" then
    row[size + 1] = reply and 1
    return size + 1
  elseif kind ~= "table" then
    row[size + 1] = false
    return size + 1
  elseif depth > DEEPEST then
    return put_text(row, size, "error", TOO_DEEP)
  end
  local text = rawget(reply, "err")
  if type(text) == "string" then
    return put_text(row, size, "error", text)
  end
  text = rawget(reply, "ok")
  if type(text) == "string" then
    return put_text(row, size, "status", text)
  end
  local double = rawget(reply, "double")
  if type(double) == "number" then
    row[size + 1] = double_text(format("%.17g", double))
    return size + 1
  end
  local map = rawget(reply, "map")
  if type(map) == "table" then
    return put_map(row, size, map, true, depth)
  end
  local set = rawget(reply, "set")
  if type(set) == "table" then
    return put_map(row, size, set, false, depth)
  end
  local big = rawget(reply, "big_number")
  if type(big) == "string" then
    row[size + 1] = big
    return size + 1
  end
  local verbatim = rawget(reply, "verbatim_string")
  if type(verbatim) == "table" and type(verbatim.string) == "string" and type(verbatim.format) == "string" then
    row[size + 1] = verbatim.string
    return size + 1
  end
  return put_list(row, size, reply, depth)
end

-- --- compiling and running --------------------------------------------------------------

local function compile(source)
  local chunk, why = real_load(source, "@user_script")
  if chunk then
    return setfenv(real_load(without_tail_calls(string.dump(chunk))), env)
  end
  return nil, why
end

-- Where the script itself was when an error was raised.
local function line_of()
  for level = 3, 200 do
    local where = debug.getinfo(level, "Sl")
    if not where then
      return 0
    elseif where.source == "@user_script" then
      return where.currentline
    end
  end
  return 0
end

local function explain(why)
  if aborted(why) then
    return ABORTED
  end
  local text = why
  if type(why) == "table" then
    local err = rawget(why, "err")
    text = type(err) == "string" and err or "ERR unknown error"
  else
    text = "ERR " .. tostring(why)
  end
  return { text = text, line = line_of() }
end

local function finish(done, reply)
  if not done then
    if reply == ABORTED or type(reply) ~= "table" then
      return nil, "failed", tostring(reply), 0
    end
    return nil, "failed", reply.text, reply.line
  end
  local kind = type(reply)
  if kind == "number" or kind == "string" then
    return reply
  elseif kind ~= "table" then
    return reply and kind == "boolean" and 1 or nil
  end
  local row = {}
  local size = put(row, 0, reply, 1)
  if size < 200 then
    return nil, "row", unpack(row, 1, size)
  end
  return nil, "long", row
end

local function run(chunk, keys, ...)
  if type(keys) == "number" then
    if keys == 1 then
      base.KEYS, base.ARGV = { (...) }, { select(2, ...) }
    else
      local all = { ... }
      local named = {}
      for i = 1, keys do
        named[i] = all[i]
      end
      base.KEYS, base.ARGV = named, { select(keys + 1, ...) }
    end
  else
    base.KEYS, base.ARGV = keys, ...
  end
  return finish(xpcall(chunk, explain))
end

-- Lets Python look for signals while a script loops.
debug.sethook(function()
  tick()
end, "", 1000000)

return compile, run
