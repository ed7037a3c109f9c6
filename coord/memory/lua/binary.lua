-- bit, struct and cmsgpack, as servers have them. `pack_float` and `unpack_float` turn
-- a number into bytes and back: 4 or 8 of them, big-endian.
local pack_float, unpack_float = ...

local floor, type = math.floor, type
local byte, char, rep, reverse, sub = string.byte, string.char, string.rep, string.reverse, string.sub

-- Whole numbers as bytes, big-endian; negative ones in two's complement.
local function to_bytes(number, size)
  local bytes = {}
  for i = size, 1, -1 do
    bytes[i] = char(number % 256)
    number = floor(number / 256)
  end
  return table.concat(bytes)
end

local function from_bytes(text, signed)
  local number = 0
  for i = 1, #text do
    number = number * 256 + byte(text, i)
  end
  if signed and byte(text, 1) >= 128 then
    number = 0
    for i = 1, #text do
      number = number * 256 + 255 - byte(text, i)
    end
    number = -number - 1
  end
  return number
end

-- --- bit --------------------------------------------------------------------------------

local bit = {}

-- To the nearest whole number, halves to even, and then to 32 signed bits.
local function whole(number, place, name)
  local value = tonumber(number)
  if value == nil then
    local kind = number == nil and "no value" or type(number)
    error(("bad argument #%d to '%s' (number expected, got %s)"):format(place, name, kind), 3)
  end
  local low = floor(value)
  local rest = value - low
  if rest > 0.5 or (rest == 0.5 and low % 2 == 1) then
    low = low + 1
  end
  return low % 4294967296
end

local function signed(number)
  return number >= 2147483648 and number - 4294967296 or number
end

local function combined(left, right, keep)
  local result, unit = 0, 1
  for _ = 1, 32 do
    local a, b = left % 2, right % 2
    if keep(a, b) then
      result = result + unit
    end
    left, right, unit = (left - a) / 2, (right - b) / 2, unit * 2
  end
  return result
end

for name, keep in pairs({
  band = function(a, b) return a + b == 2 end,
  bor = function(a, b) return a + b > 0 end,
  bxor = function(a, b) return a + b == 1 end,
}) do
  bit[name] = function(...)
    local result = whole((...), 1, name)
    for i = 2, select("#", ...) do
      result = combined(result, whole((select(i, ...)), i, name), keep)
    end
    return signed(result)
  end
end

function bit.tobit(number)
  return signed(whole(number, 1, "tobit"))
end

function bit.bnot(number)
  return signed(4294967295 - whole(number, 1, "bnot"))
end

function bit.bswap(number)
  return signed(from_bytes(reverse(to_bytes(whole(number, 1, "bswap"), 4))))
end

function bit.lshift(number, by)
  return signed(whole(number, 1, "lshift") * 2 ^ (whole(by, 2, "lshift") % 32) % 4294967296)
end

function bit.rshift(number, by)
  return signed(floor(whole(number, 1, "rshift") / 2 ^ (whole(by, 2, "rshift") % 32)))
end

function bit.arshift(number, by)
  return floor(signed(whole(number, 1, "arshift")) / 2 ^ (whole(by, 2, "arshift") % 32))
end

local function rotated(number, by)
  local high = floor(number / 2 ^ (32 - by))
  return signed((number * 2 ^ by) % 4294967296 + high)
end

function bit.rol(number, by)
  return rotated(whole(number, 1, "rol"), whole(by, 2, "rol") % 32)
end

function bit.ror(number, by)
  return rotated(whole(number, 1, "ror"), (32 - whole(by, 2, "ror") % 32) % 32)
end

function bit.tohex(number, size)
  local digits = ("%08x"):format(whole(number, 1, "tohex"))
  size = size == nil and 8 or signed(whole(size, 2, "tohex"))
  if size < 0 then
    size, digits = -size, digits:upper()
  end
  return sub(digits, -math.min(size, 8), size == 0 and 0 or -1)
end

-- --- struct -----------------------------------------------------------------------------

local struct = {}
local SIZES = { b = 1, B = 1, h = 2, H = 2, l = 8, L = 8, T = 8, f = 4, d = 8, x = 1 }
local BIGGEST_INTEGER = 32

-- Walks over a format: calls `take(option, size, little, padding)` for each item in it.
local function walk(name, form, take)
  local little, align, place, total = true, 1, 1, 0
  while place <= #form do
    local option = sub(form, place, place)
    place = place + 1
    local digits = string.match(form, "^%d*", place)
    if string.find(option, "[iIcs!]") then
      place = place + #digits
    end
    local size = SIZES[option]
    if option == "i" or option == "I" then
      size = tonumber(digits) or 4
      if size > BIGGEST_INTEGER then
        error(("integral size %d is larger than limit of %d"):format(size, BIGGEST_INTEGER), 0)
      end
    elseif option == "c" then
      size = tonumber(digits) or 1
    elseif option == "s" then
      size = 0
    end
    if option == "<" or option == ">" then
      little = option == "<"
    elseif option == "!" then
      align = tonumber(digits) or 8
      if align == 0 or math.frexp(align) ~= 0.5 then
        error(("alignment %d is not a power of 2"):format(align), 0)
      end
    elseif size then
      local padding = 0
      if size > 1 and align > 1 and option ~= "c" then
        local unit = math.min(size, align)
        padding = (unit - total % unit) % unit
      end
      total = total + padding + take(option, size, little, padding)
    elseif option ~= " " then
      error(("bad argument #1 to '%s' (invalid format option '%s')"):format(name, option), 0)
    end
  end
  return total
end

local function turned(text, little)
  return little and reverse(text) or text
end

local function number_at(value, place)
  local number = tonumber(value)
  if number == nil or type(value) == "boolean" then
    local kind = type(value)
    error(("bad argument #%d to 'pack' (number expected, got %s)"):format(place, kind), 0)
  end
  return number
end

local function packed(form, ...)
  local values, place, parts = { ... }, 0, {}
  walk("pack", form, function(option, size, little, padding)
    local text
    if option == "x" then
      text = "\0"
    elseif option == "c" or option == "s" then
      place = place + 1
      text = values[place]
      if type(text) ~= "string" and type(text) ~= "number" then
        local kind = type(text)
        error(("bad argument #%d to 'pack' (string expected, got %s)"):format(place + 1, kind), 0)
      end
      text = tostring(text)
      if option == "s" then
        text = text .. "\0"
      elseif size > #text then
        error(("bad argument #%d to 'pack' (string too short)"):format(place + 2), 0)
      elseif size > 0 then
        text = sub(text, 1, size)
      end
    else
      place = place + 1
      local number = number_at(values[place], place + 1)
      if option == "f" or option == "d" then
        text = turned(pack_float(("%.17g"):format(number), size), little)
      else
        number = number < 0 and math.ceil(number) or floor(number)
        text = turned(to_bytes(number, size), little)
      end
    end
    parts[#parts + 1] = rep("\0", padding) .. text
    return #text
  end)
  return table.concat(parts)
end

local function unpacked(form, data, start)
  local at, values = (start or 1) - 1, {}
  if at < 0 then
    error("offset must be 1 or greater", 0)
  end
  local last
  walk("unpack", form, function(option, size, little, padding)
    at = at + padding
    if at + size > #data then
      error("bad argument #2 to 'unpack' (data string too short)", 0)
    end
    local text = sub(data, at + 1, at + size)
    if option == "s" then
      local stop = string.find(data, "\0", at + 1, true)
      if not stop then
        error("unfinished string in data", 0)
      end
      last = sub(data, at + 1, stop - 1)
      values[#values + 1] = last
      size = stop - at
    elseif option == "c" then
      if size == 0 then
        if type(last) ~= "number" then
          error("format 'c0' needs a previous size", 0)
        end
        size = values[#values]
        values[#values] = nil
        if size < 0 or at + size > #data then
          error("bad argument #2 to 'unpack' (data string too short)", 0)
        end
        text = sub(data, at + 1, at + size)
      end
      last = text
      values[#values + 1] = text
    elseif option == "f" or option == "d" then
      last = unpack_float(turned(text, little))
      values[#values + 1] = last
    elseif option ~= "x" then
      last = from_bytes(turned(text, little), string.find(option, "[bhil]"))
      values[#values + 1] = last
    end
    at = at + size
    return size
  end)
  values[#values + 1] = at + 1
  return values
end

local function checked(name, place, value)
  if type(value) ~= "string" and type(value) ~= "number" then
    local kind = value == nil and "no value" or type(value)
    error(("bad argument #%d to '%s' (string expected, got %s)"):format(place, name, kind), 3)
  end
  return tostring(value)
end

function struct.pack(form, ...)
  local done, text = pcall(packed, checked("pack", 1, form), ...)
  return done and text or error(text, 2)
end

function struct.unpack(form, data, start)
  local done, values = pcall(unpacked, checked("unpack", 1, form), checked("unpack", 2, data), start)
  if not done then
    error(values, 2)
  end
  return unpack(values)
end

function struct.size(form)
  local done, size = pcall(walk, "size", checked("size", 1, form), function(option, size)
    if option == "s" or (option == "c" and size == 0) then
      error(("bad argument #1 to 'size' (option '%s' has no fixed size)"):format(option == "c" and "c0" or option), 0)
    end
    return size
  end)
  return done and size or error(size, 2)
end

-- --- cmsgpack ---------------------------------------------------------------------------

local cmsgpack = {
  _NAME = "cmsgpack",
  _VERSION = "lua-cmsgpack 0.4.0",
  _COPYRIGHT = "Copyright (C) 2012, Salvatore Sanfilippo",
  _DESCRIPTION = "MessagePack C implementation for Lua",
}
local DEEPEST = 16

local function put_size(parts, size, least, codes)
  if least and size < least.below then
    parts[#parts + 1] = char(least.code + size)
  elseif codes[1] and size <= 0xFF then
    parts[#parts + 1] = char(codes[1], size)
  elseif size <= 0xFFFF then
    parts[#parts + 1] = char(codes[2]) .. to_bytes(size, 2)
  else
    parts[#parts + 1] = char(codes[3]) .. to_bytes(size, 4)
  end
end

local function put_integer(parts, number)
  if number >= 0 then
    if number <= 127 then
      parts[#parts + 1] = char(number)
    elseif number <= 0xFF then
      parts[#parts + 1] = "\204" .. to_bytes(number, 1)
    elseif number <= 0xFFFF then
      parts[#parts + 1] = "\205" .. to_bytes(number, 2)
    elseif number <= 0xFFFFFFFF then
      parts[#parts + 1] = "\206" .. to_bytes(number, 4)
    else
      parts[#parts + 1] = "\207" .. to_bytes(number, 8)
    end
  elseif number >= -32 then
    parts[#parts + 1] = char(256 + number)
  elseif number >= -128 then
    parts[#parts + 1] = "\208" .. to_bytes(number, 1)
  elseif number >= -32768 then
    parts[#parts + 1] = "\209" .. to_bytes(number, 2)
  elseif number >= -2147483648 then
    parts[#parts + 1] = "\210" .. to_bytes(number, 4)
  else
    parts[#parts + 1] = "\211" .. to_bytes(number, 8)
  end
end

local function put_number(parts, number)
  if number == floor(number) and number >= -9223372036854775808 and number < 9223372036854775808 then
    return put_integer(parts, number)
  end
  local written = ("%.17g"):format(number)
  local short = pack_float(written, 4)
  if unpack_float(short) == number then
    parts[#parts + 1] = "\202" .. short
  else
    parts[#parts + 1] = "\203" .. pack_float(written, 8)
  end
end

local function array_length(table)
  local size, largest = 0, 0
  for key in pairs(table) do
    if type(key) ~= "number" or key <= 0 or key ~= floor(key) then
      return nil
    end
    size, largest = size + 1, key > largest and key or largest
  end
  return size == largest and size or nil
end

local function put(parts, value, depth)
  local kind = type(value)
  if kind == "table" and depth == DEEPEST then
    kind = "nil"
  end
  if kind == "string" then
    put_size(parts, #value, { below = 32, code = 0xA0 }, { 0xD9, 0xDA, 0xDB })
    parts[#parts + 1] = value
  elseif kind == "boolean" then
    parts[#parts + 1] = value and "\195" or "\194"
  elseif kind == "number" then
    put_number(parts, value)
  elseif kind == "table" then
    local size = array_length(value)
    if size then
      put_size(parts, size, { below = 16, code = 0x90 }, { nil, 0xDC, 0xDD })
      for i = 1, size do
        put(parts, value[i], depth + 1)
      end
      return
    end
    size = 0
    for _ in pairs(value) do
      size = size + 1
    end
    put_size(parts, size, { below = 16, code = 0x80 }, { nil, 0xDE, 0xDF })
    for key, each in pairs(value) do
      put(parts, key, depth + 1)
      put(parts, each, depth + 1)
    end
  else
    parts[#parts + 1] = "\192"
  end
end

local take

local function taken_items(data, at, size, pair)
  local result = {}
  for i = 1, size do
    local key, value = i, nil
    if pair then
      key, at = take(data, at)
    end
    value, at = take(data, at)
    result[key] = value
  end
  return result, at
end

local function number_from(data, at, size, signed)
  if at + size > #data then
    error("Missing bytes in input.", 0)
  end
  return from_bytes(sub(data, at + 1, at + size), signed), at + size
end

local function text_from(data, at, size)
  if at + size > #data then
    error("Missing bytes in input.", 0)
  end
  return sub(data, at + 1, at + size), at + size
end

local INTEGERS = { [0xCC] = { 1 }, [0xCD] = { 2 }, [0xCE] = { 4 }, [0xCF] = { 8 },
  [0xD0] = { 1, true }, [0xD1] = { 2, true }, [0xD2] = { 4, true }, [0xD3] = { 8, true } }
local SIZED = { [0xC4] = { 1, "text" }, [0xC5] = { 2, "text" }, [0xC6] = { 4, "text" }, [0xD9] = { 1, "text" },
  [0xDA] = { 2, "text" }, [0xDB] = { 4, "text" }, [0xDC] = { 2, "array" }, [0xDD] = { 4, "array" },
  [0xDE] = { 2, "map" }, [0xDF] = { 4, "map" } }

local function sized(data, at, size, kind)
  if kind == "text" then
    return text_from(data, at, size)
  end
  return taken_items(data, at, size, kind == "map")
end

-- The value behind a place, and where it ends.
function take(data, at)
  local code = byte(data, at + 1)
  if not code then
    error("Missing bytes in input.", 0)
  end
  at = at + 1
  if code <= 0x7F then
    return code, at
  elseif code <= 0x8F then
    return taken_items(data, at, code - 0x80, true)
  elseif code <= 0x9F then
    return taken_items(data, at, code - 0x90, false)
  elseif code <= 0xBF then
    return text_from(data, at, code - 0xA0)
  elseif code >= 0xE0 then
    return code - 256, at
  elseif code == 0xC0 then
    return nil, at
  elseif code == 0xC2 or code == 0xC3 then
    return code == 0xC3, at
  elseif code == 0xCA or code == 0xCB then
    local text
    text, at = text_from(data, at, code == 0xCA and 4 or 8)
    return unpack_float(text), at
  elseif INTEGERS[code] then
    return number_from(data, at, unpack(INTEGERS[code]))
  elseif SIZED[code] then
    local width, kind = unpack(SIZED[code])
    local size
    size, at = number_from(data, at, width)
    return sized(data, at, size, kind)
  end
  error("Bad data format in input.", 0)
end

function cmsgpack.pack(...)
  local parts = {}
  local count = select("#", ...)
  if count == 0 then
    error("bad argument #0 to 'pack' (MessagePack pack needs input.)", 2)
  end
  for i = 1, count do
    put(parts, (select(i, ...)), 0)
  end
  return table.concat(parts)
end

local function taken(name, data, limit, at)
  if type(data) ~= "string" and type(data) ~= "number" then
    local kind = data == nil and "no value" or type(data)
    error(("bad argument #1 to '%s' (string expected, got %s)"):format(name, kind), 0)
  end
  data = tostring(data)
  if at < 0 or limit < 0 then
    error(("Invalid request to unpack with offset of %d and limit of %d."):format(at, #data), 0)
  elseif at > #data then
    error(("Start offset %d greater than input length %d."):format(at, #data), 0)
  end
  local values, count = {}, 0
  while at < #data and (limit == 0 or count < limit) do
    count = count + 1
    values[count], at = take(data, at)
  end
  return values, count, at
end

local function opened(level, name, data, limit, at)
  local done, values, count, stop = pcall(taken, name, data, limit, at)
  if not done then
    error(values, level + 1)
  end
  return values, count, stop == #tostring(data) and -1 or stop
end

function cmsgpack.unpack(data)
  local values, count = opened(2, "unpack", data, 0, 0)
  return unpack(values, 1, count)
end

function cmsgpack.unpack_one(data, at)
  local values, count, stop = opened(2, "unpack_one", data, 1, at or 0)
  return stop, unpack(values, 1, count)
end

function cmsgpack.unpack_limit(data, limit, at)
  local values, count, stop = opened(2, "unpack_limit", data, limit, at or 0)
  return stop, unpack(values, 1, count)
end

return { bit = bit, struct = struct, cmsgpack = cmsgpack }
