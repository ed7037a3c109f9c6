-- cjson: JSON as servers read and write it.

local floor, format, type, tostring = math.floor, string.format, type, tostring
local byte, char, find, gsub, sub = string.byte, string.char, string.find, string.gsub, string.sub

local null = newproxy(true)
getmetatable(null).__tostring = function()
  return "userdata: (nil)"
end
getmetatable(null).__metatable = false

local DEEPEST, PRECISION = 1000, 14
-- An array may have so many holes: its length is at most RATIO times its items, or SAFE.
local SAFE, RATIO = 10, 2
local HUGE, NAN = math.huge, -(0 / 0)


local ESCAPES = { ['"'] = '\\"', ["\\"] = "\\\\", ["/"] = "\\/", ["\b"] = "\\b", ["\f"] = "\\f", ["\n"] = "\\n",
  ["\r"] = "\\r", ["\t"] = "\\t", ["\127"] = "\\u007f" }
for code = 0, 31 do
  local letter = char(code)
  ESCAPES[letter] = ESCAPES[letter] or format("\\u%04x", code)
end

-- --- encoding ---------------------------------------------------------------------------

local function quoted(text)
  return '"' .. gsub(text, '[%z\1-\31"\\/\127]', ESCAPES) .. '"'
end

local function number_text(number)
  if number ~= number or number == HUGE or number == -HUGE then
    error("Cannot serialise number: must not be NaN or Inf", 0)
  end
  return format("%." .. PRECISION .. "g", number)
end

-- The length of an array; nil when the table is an object.
local function length(table)
  local largest, items = 0, 0
  for key in pairs(table) do
    if type(key) ~= "number" or key <= 0 or key ~= floor(key) then
      return nil
    end
    largest = key > largest and key or largest
    items = items + 1
  end
  if largest > items * RATIO and largest > SAFE then
    error("Cannot serialise table: excessively sparse array", 0)
  end
  return largest
end

local encoded

local function encoded_array(table, size, depth, parts)
  parts[#parts + 1] = "["
  for i = 1, size do
    if i > 1 then
      parts[#parts + 1] = ","
    end
    encoded(rawget(table, i), depth, parts)
  end
  parts[#parts + 1] = "]"
end

local function encoded_object(table, depth, parts)
  parts[#parts + 1] = "{"
  local first = true
  for key, value in pairs(table) do
    if not first then
      parts[#parts + 1] = ","
    end
    first = false
    if type(key) == "string" then
      parts[#parts + 1] = quoted(key) .. ":"
    elseif type(key) == "number" then
      parts[#parts + 1] = '"' .. number_text(key) .. '":'
    else
      error("Cannot serialise " .. type(key) .. ": table key must be a number or string", 0)
    end
    encoded(value, depth, parts)
  end
  parts[#parts + 1] = "}"
end

function encoded(value, depth, parts)
  local kind = type(value)
  if kind == "string" then
    parts[#parts + 1] = quoted(value)
  elseif kind == "number" then
    parts[#parts + 1] = number_text(value)
  elseif kind == "boolean" then
    parts[#parts + 1] = tostring(value)
  elseif value == nil or value == null then
    parts[#parts + 1] = "null"
  elseif kind == "table" then
    depth = depth + 1
    if depth > DEEPEST then
      error("Cannot serialise, excessive nesting (" .. depth .. ")", 0)
    end
    local size = length(value)
    if size and size > 0 then
      encoded_array(value, size, depth, parts)
    else
      encoded_object(value, depth, parts)
    end
  else
    error("Cannot serialise " .. kind .. ": type not supported", 0)
  end
end

-- --- decoding ---------------------------------------------------------------------------

local LETTERS = { ['"'] = '"', ["\\"] = "\\", ["/"] = "/", b = "\b", f = "\f", n = "\n", r = "\r", t = "\t" }

local function wrong(text, at, expected, found)
  error(format("Expected %s but found %s at character %d", expected, found, at), 0)
end

local function utf8(code)
  if code < 0x80 then
    return char(code)
  elseif code < 0x800 then
    return char(0xC0 + floor(code / 64), 0x80 + code % 64)
  elseif code < 0x10000 then
    return char(0xE0 + floor(code / 4096), 0x80 + floor(code / 64) % 64, 0x80 + code % 64)
  end
  return char(0xF0 + floor(code / 262144), 0x80 + floor(code / 4096) % 64, 0x80 + floor(code / 64) % 64, 0x80 + code % 64)
end

local function hex_at(text, at)
  local digits = string.match(text, "^%x%x%x%x", at)
  return digits and tonumber(digits, 16)
end

-- Returns the text, and where it ends; nil and the reason otherwise.
local function string_at(text, at)
  local parts, from = {}, at + 1
  while true do
    local stop = find(text, '[%z"\\]', from)
    if not stop then
      return nil, "unexpected end of string", #text + 1
    end
    parts[#parts + 1] = sub(text, from, stop - 1)
    local letter = sub(text, stop, stop)
    if letter == '"' then
      return table.concat(parts), stop + 1
    elseif letter ~= "\\" then
      return nil, "unexpected end of string", stop
    end
    local escape = sub(text, stop + 1, stop + 1)
    if LETTERS[escape] then
      parts[#parts + 1] = LETTERS[escape]
      from = stop + 2
    elseif escape == "u" then
      local code = hex_at(text, stop + 2)
      from = stop + 6
      if code and code >= 0xD800 and code <= 0xDBFF then
        local second = sub(text, from, from + 1) == "\\u" and hex_at(text, from + 2)
        if not second or second < 0xDC00 or second > 0xDFFF then
          return nil, "invalid unicode escape code", stop
        end
        code = 0x10000 + (code - 0xD800) * 0x400 + second - 0xDC00
        from = from + 6
      elseif not code or (code >= 0xDC00 and code <= 0xDFFF) then
        return nil, "invalid unicode escape code", stop
      end
      parts[#parts + 1] = utf8(code)
    else
      return nil, "invalid escape code", stop
    end
  end
end

local SIGNS = { ["{"] = "T_OBJ_BEGIN", ["}"] = "T_OBJ_END", ["["] = "T_ARR_BEGIN", ["]"] = "T_ARR_END",
  [","] = "T_COMMA", [":"] = "T_COLON" }

-- The next token: its kind, its value, where it begins, where it ends.
local function token(text, at)
  at = find(text, "[^ \t\n\r]", at) or #text + 1
  local letter = sub(text, at, at)
  if letter == "" then
    return "T_END", nil, at, at
  elseif SIGNS[letter] then
    return SIGNS[letter], nil, at, at + 1
  elseif letter == '"' then
    local value, stop, place = string_at(text, at)
    if not value then
      return "T_ERROR", stop, place, place
    end
    return "T_STRING", value, at, stop
  elseif sub(text, at, at + 3) == "true" then
    return "T_BOOLEAN", true, at, at + 4
  elseif sub(text, at, at + 4) == "false" then
    return "T_BOOLEAN", false, at, at + 5
  elseif sub(text, at, at + 3) == "null" then
    return "T_NULL", null, at, at + 4
  end
  local low = string.lower(sub(text, at, at + 8))
  local digits = string.match(low, "^%-?nan") or string.match(low, "^%-?infinity") or string.match(low, "^%-?inf")
  if digits then
    local value = find(digits, "nan") and NAN or HUGE
    return "T_NUMBER", sub(digits, 1, 1) == "-" and -value or value, at, at + #digits
  end
  if find(letter, "[%d%+%-]") then
    digits = string.match(text, "^[%+%-]?0[xX]%x+", at)
    digits = digits or string.match(text, "^[%+%-]?%d+%.?%d*[eE][%+%-]?%d+", at) or string.match(text, "^[%+%-]?%d+%.?%d*", at)
    if digits then
      return "T_NUMBER", tonumber((gsub(digits, "^%+", ""))) or -tonumber(sub(digits, 2)), at, at + #digits
    end
    return "T_ERROR", "invalid number", at, at
  end
  return "T_ERROR", "invalid token", at, at
end

local function found(kind, value)
  return kind == "T_ERROR" and value or kind
end

local value_of

local function deeper(depth, at)
  depth = depth + 1
  if depth > DEEPEST then
    error("Found too many nested data structures (" .. depth .. ") at character " .. at - 1, 0)
  end
  return depth
end

local function object_at(text, at, depth)
  depth = deeper(depth, at)
  local object = {}
  local kind, key, start, stop = token(text, at)
  if kind == "T_OBJ_END" then
    return object, stop
  end
  while true do
    if kind ~= "T_STRING" then
      wrong(text, start, "object key string", found(kind, key))
    end
    local colon, why, place, after = token(text, stop)
    if colon ~= "T_COLON" then
      wrong(text, place, "colon", found(colon, why))
    end
    object[key], stop = value_of(text, depth, token(text, after))
    kind, key, start, stop = token(text, stop)
    if kind == "T_OBJ_END" then
      return object, stop
    elseif kind ~= "T_COMMA" then
      wrong(text, start, "comma or object end", found(kind, key))
    end
    kind, key, start, stop = token(text, stop)
  end
end

local function array_at(text, at, depth)
  depth = deeper(depth, at)
  local array, size = {}, 0
  local kind, value, start, stop = token(text, at)
  if kind == "T_ARR_END" then
    return array, stop
  end
  while true do
    size = size + 1
    array[size], stop = value_of(text, depth, kind, value, start, stop)
    kind, value, start, stop = token(text, stop)
    if kind == "T_ARR_END" then
      return array, stop
    elseif kind ~= "T_COMMA" then
      wrong(text, start, "comma or array end", found(kind, value))
    end
    kind, value, start, stop = token(text, stop)
  end
end

function value_of(text, depth, kind, value, start, stop)
  if kind == "T_STRING" or kind == "T_NUMBER" or kind == "T_BOOLEAN" or kind == "T_NULL" then
    return value, stop
  elseif kind == "T_OBJ_BEGIN" then
    return object_at(text, stop, depth)
  elseif kind == "T_ARR_BEGIN" then
    return array_at(text, stop, depth)
  end
  wrong(text, start, "value", found(kind, value))
end

local function decoded(text)
  local value, stop = value_of(text, 0, token(text, 1))
  local kind, why, start = token(text, stop)
  if kind ~= "T_END" then
    wrong(text, start, "the end", found(kind, why))
  end
  return value
end

-- --- the library ------------------------------------------------------------------------

local cjson = { null = null, _NAME = "cjson", _VERSION = "2.1.0" }

function cjson.encode(...)
  if select("#", ...) ~= 1 then
    error("bad argument #1 to 'encode' (expected 1 argument)", 2)
  end
  local parts = {}
  local done, why = pcall(encoded, (...), 0, parts)
  if not done then
    error(why, 2)
  end
  return table.concat(parts)
end

function cjson.decode(...)
  local text = ...
  if select("#", ...) ~= 1 then
    error("bad argument #1 to 'decode' (expected 1 argument)", 2)
  end
  if type(text) == "number" then
    text = tostring(text)
  elseif type(text) ~= "string" then
    error("bad argument #1 to 'decode' (string expected, got " .. (text == nil and "nil" or type(text)) .. ")", 2)
  end
  local done, value = pcall(decoded, text)
  if not done then
    error(value, 2)
  end
  return value
end

-- Settings belong to a server and not to a script: they answer, and change nothing.
local function setting(name, ...)
  local values = { ... }
  return function(...)
    if select("#", ...) > 0 then
      error("memory:// keeps the settings of cjson as they are: " .. name .. " is refused", 2)
    end
    return unpack(values)
  end
end

cjson.encode_max_depth = setting("encode_max_depth", DEEPEST)
cjson.decode_max_depth = setting("decode_max_depth", DEEPEST)
cjson.encode_number_precision = setting("encode_number_precision", PRECISION)
cjson.encode_keep_buffer = setting("encode_keep_buffer", true)
cjson.encode_invalid_numbers = setting("encode_invalid_numbers", false)
cjson.decode_invalid_numbers = setting("decode_invalid_numbers", true)
cjson.encode_sparse_array = setting("encode_sparse_array", false, RATIO, SAFE)
function cjson.new()
  return cjson
end

return cjson
