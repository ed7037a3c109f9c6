"""Scripts that must give the same on servers and on a Keyspace, a line each; KEYS are two, ARGV three."""

from __future__ import annotations

# ruff: noqa: E501  # a script stands on one line

__all__ = ["BINARY", "CALLS", "CJSON", "DIFFERENT_ON_6_2", "DIFFERENT_TEXT", "ERRORS", "REPLIES", "SANDBOX"]

REPLIES = """
return 1
return 3.99
return -3.99
return 2^53 + 2
return 2^63
return -2^70
return 0/0
return 1/0
return 'x'
return '\\255\\0'
return true
return false
return nil
return
return {}
return {1, 2.5, 'x', false, true, nil, 3}
return {1, {2, {3, {}}}, redis.status_reply('FINE'), redis.error_reply('MY fault')}
return {ok = 'FINE'}
return {err = 'MY fault'}
return {err = 'fault'}
return {err = 'MY two\\nlines'}
return {ok = 5}
return {err = 5}
return {1, ok = 'FINE'}
return {double = 3.25}
return {double = 0.1}
return {double = 3}
return {map = {a = 1}}
return {map = {a = {b = 1}}}
return {set = {a = true}}
return {big_number = '123'}
return {verbatim_string = {string = 'x', format = 'txt'}}
return {verbatim_string = {string = 'x'}}
return function() end
return {1, function() end, 2}
return cjson.null
return setmetatable({}, {__index = function() return 1 end})
return setmetatable({}, {__index = {ok = 'X'}})
return KEYS
return ARGV
return {#KEYS, #ARGV, KEYS[3], 5}
return {type(KEYS), type(redis.call), type(cjson.null), tostring(nil)}
return redis.status_reply('FINE')
return redis.status_reply()
return redis.status_reply(1)
return redis.status_reply('FINE').ok
return redis.error_reply('MY fault')
return redis.error_reply('fault')
return redis.error_reply('-MY fault')
return redis.error_reply('two\\nlines here')
return redis.error_reply('fault').err
return redis.error_reply()
return redis.error_reply({})
return redis.sha1hex('')
return redis.sha1hex('x')
return redis.sha1hex(12)
return redis.log(redis.LOG_NOTICE, 'x', 1)
return {redis.LOG_DEBUG, redis.LOG_VERBOSE, redis.LOG_NOTICE, redis.LOG_WARNING}
return redis.replicate_commands()
return redis.breakpoint()
return tostring(redis.setresp(2))
return select('#', unpack({}, 1, 7000))
local t = {} for i = 1, 5000 do t[i] = i end return t
local t = {} for i = 1, 300 do t[i] = {tostring(i), {i}} end return t
return (string.gsub('a-b', '-', '+'))
return {string.format('%.0f', 2^53 + 2), tostring(1e15), tostring(2^53 + 2), tostring(1e14), 1e14 .. ''}
return {tonumber('0x10'), tonumber(' 5 '), tonumber('1e3'), tonumber('x'), 7}
local co = coroutine.wrap(function(x) redis.call('SET', KEYS[1], x) coroutine.yield(1) return 2 end) return {co('v'), co()}
""".strip().splitlines()

CALLS = """
return redis.call('SET', KEYS[1], 'x')
return redis.call('set', KEYS[1], 'x').ok
return redis.call('GET', KEYS[1])
return type(redis.call('GET', KEYS[1]))
return redis.call('SET', KEYS[1], 'x', 'GET')
return redis.call('SET', KEYS[1], 'x', 'PX', 1000, 'NX')
redis.call('SET', KEYS[1], 'x') return redis.call('SET', KEYS[1], 'y', 'NX')
redis.call('SET', KEYS[1], 0.1) return redis.call('GET', KEYS[1])
redis.call('SET', KEYS[1], 1e20) return redis.call('GET', KEYS[1])
redis.call('SET', KEYS[1], -0.0) return redis.call('GET', KEYS[1])
redis.call('SET', KEYS[1], 2^53 + 2) return redis.call('GET', KEYS[1])
redis.call('SET', KEYS[1], 1/0) return redis.call('GET', KEYS[1])
redis.call('SET', KEYS[1], -1/0) return redis.call('GET', KEYS[1])
redis.call('SET', KEYS[1], 1e-7) return redis.call('GET', KEYS[1])
redis.call('SET', KEYS[1], 123456.75) return redis.call('GET', KEYS[1])
redis.call('SET', KEYS[1], 2^62) return redis.call('GET', KEYS[1])
redis.call('SET', KEYS[1], '\\255\\254') redis.call('APPEND', KEYS[1], '\\195') redis.call('APPEND', KEYS[1], '\\169') return redis.call('GET', KEYS[1])
redis.call('HSET', KEYS[1], 'f', 1, 'g', ARGV[2]) return redis.call('HGETALL', KEYS[1])
redis.call('HSET', KEYS[1], 'f', 1) return redis.call('HMGET', KEYS[1], 'f', 'none', 'f')
redis.call('RPUSH', KEYS[1], unpack(ARGV)) return redis.call('LRANGE', KEYS[1], 0, -1)
local t = {} for i = 1, 7000 do t[i] = i end return redis.call('RPUSH', KEYS[1], unpack(t))
redis.call('ZADD', KEYS[1], 1, 'a', 2.5, 'b') return redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES')
redis.call('ZADD', KEYS[1], 1, 'a') return type(redis.call('ZSCORE', KEYS[1], 'a'))
redis.call('XADD', KEYS[1], '1-1', 'f', 'v') return redis.call('XRANGE', KEYS[1], '-', '+')
return redis.call('TIME')
return redis.call('INCRBY', KEYS[1], 9007199254740993)
redis.call('SET', KEYS[1], '9007199254740993') return redis.call('INCR', KEYS[1])
return redis.call('TYPE', KEYS[1]).ok
return redis.call('PTTL', KEYS[1])
return redis.call('EXISTS', KEYS[1], KEYS[2], KEYS[1])
return redis.call('MSET', KEYS[1], 'x', KEYS[2], 'y')
return redis.call('RENAME', KEYS[1], KEYS[2])
return redis.pcall('RENAME', KEYS[1], KEYS[2]).err
return redis.call('PUBLISH', 'channel', 'x')
return redis.call('ECHO', 'x')
redis.call('SET', KEYS[1], 'x') return redis.call('LPOP', KEYS[2])
return redis.call('LPOP', KEYS[2], 2)
return redis.call('SMISMEMBER', KEYS[1], 'a', 'b')
""".strip().splitlines()

ERRORS = """
redis.call('SET', KEYS[1])
redis.call('SET', KEYS[1], 'x') redis.call('SET', KEYS[2])
redis.call()
redis.call('SET', KEYS[1], nil)
redis.call('SET', KEYS[1], {})
redis.call('SET', KEYS[1], true)
redis.call({})
return redis.pcall()
return redis.pcall('SET', KEYS[1], nil)
return redis.pcall('SET', KEYS[1])
return redis.pcall('SET', KEYS[1]).err
redis.call('SET', KEYS[1], 'x') redis.call('LPUSH', KEYS[1], 'y')
redis.call('SET', KEYS[1], 'x') return redis.pcall('LPUSH', KEYS[1], 'y')
redis.call('SET', KEYS[1], 'x') local e = redis.pcall('LPUSH', KEYS[1], 'y') redis.call('SET', KEYS[2], e.err) return e
redis.call('SET', KEYS[1], 'x') return redis.call('INCR', KEYS[1])
redis.call('SET', KEYS[1], '9223372036854775807') return redis.call('INCR', KEYS[1])
redis.call('SET', KEYS[1], string.rep('9', 4301)) return redis.call('INCR', KEYS[1])
redis.call('HSET', KEYS[1], 'f', '1.0') return redis.call('HINCRBY', KEYS[1], 'f', 1)
redis.call('SET', KEYS[1], 'x') local ok, e = pcall(redis.call, 'LPUSH', KEYS[1], 'y') return {tostring(ok), type(e), e}
redis.call('SET', KEYS[1], 'x') local ok, e = pcall(redis.call, 'LPUSH', KEYS[1], 'y') error(e)
local ok, e = pcall(redis.call, 'SET', KEYS[1]) return e
local ok, e = pcall(error, {err = 'MY fault'}) return {tostring(ok), type(e), tostring(e)}
local ok, e = pcall(error, {1, 2}) return {tostring(ok), type(e)}
local ok, e = pcall(error, 'x') return {tostring(ok), e}
local ok, e = pcall(function() error('x') end) return {tostring(ok), e}
local ok, e = pcall(function() return 1, 2 end) return {tostring(ok), e}
error('boom')
error('boom', 0)
error({err = 'MY fault'})
error({1})
error()
local a = nil return a.b
local a = nil return a()
return 1 + {}
return #5
return 'a' < 1
return 1 +
return redis.nothing()
return redis.sha1hex()
return redis.sha1hex('a', 'b')
redis.log('x')
redis.log('x', 'y')
redis.log(9, 'x')
return redis.call('MULTI')
return redis.call('EVAL', 'return 1', 0)
return redis.call('SUBSCRIBE', 'x')
return select('#', unpack({}, 1, 8100))
return redis.call('SETRANGE', KEYS[1], -1, 'x')
return redis.call('PEXPIRE', KEYS[1], '1.5')
return redis.call('PEXPIRE', KEYS[1], 1.5)
redis.call('SET', KEYS[1], 'x', 'PX', 0)
redis.call('SADD', KEYS[1])
""".strip().splitlines()

SANDBOX = """
x = 1
KEYS = 1
string.foo = 1
string.format = 1
redis.call = 1
redis = nil
return foo
return print
rawset(_G, 'x', 1)
rawset(string, 'x', 1)
local t = {} rawset(t, 'x', 1) return t.x
return rawget(_G, 'foo')
return type(os.clock())
return os.time
return io
return require
return debug
return dofile
return loadfile
return module
return package
return newproxy
return setfenv
return getfenv
return loadstring('return 5')()
return loadstring('x = 5')()
return loadstring('return KEYS[1]')()
return (loadstring('return +'))
local parts = {'return ', '6'} local i = 0 return load(function() i = i + 1 return parts[i] end)()
local n = {} for k in pairs(redis) do n[#n + 1] = type(redis[k]) end return #n > 15
local n = {} for k in pairs(_G) do n[#n + 1] = k end table.sort(n) return #n > 25
local n = {} for k in pairs(string) do n[#n + 1] = k end table.sort(n) return n
local n = {} for k in pairs(table) do n[#n + 1] = k end table.sort(n) return n
local n = {} for k in pairs(math) do n[#n + 1] = k end table.sort(n) return n
local n = {} for k in pairs(os) do n[#n + 1] = k end table.sort(n) return n
local n = {} for k in pairs(cjson) do n[#n + 1] = k end table.sort(n) return n
local n = {} for k in pairs(cmsgpack) do n[#n + 1] = k end table.sort(n) return n
local n = {} for k in pairs(struct) do n[#n + 1] = k end table.sort(n) return n
local n = {} for k in pairs(bit) do n[#n + 1] = k end table.sort(n) return n
return ('x'):rep(3)
return _VERSION
return {math.floor(3.7), math.max(1, 2), math.huge > 1, math.pi > 3}
local f = function() local x = 1 return x end return f()
""".strip().splitlines()

CJSON = r"""
return cjson.encode({1, 2, 3})
return cjson.encode({})
return cjson.encode({a = 1})
return cjson.encode({a = {b = {1, 'x', true, cjson.null}}})
return cjson.encode({nil, nil, 3})
return cjson.encode({[1] = 1, [3] = 3, x = 1})
return cjson.encode({[20] = 1})
return cjson.encode({[10] = 1})
return cjson.encode({[1.5] = 1})
return cjson.encode({[0] = 1})
return cjson.encode({[-1] = 1})
return cjson.encode('a"b\\c/d\b\f\n\r\t\0\1\31\127é\255')
return cjson.encode(1)
return cjson.encode(0.1)
return cjson.encode(1e20)
return cjson.encode(2^53)
return cjson.encode(-0.0)
return cjson.encode(123456789.125)
return cjson.encode(1/0)
return cjson.encode(0/0)
return cjson.encode(nil)
return cjson.encode(cjson.null)
return cjson.encode(true)
return cjson.encode(function() end)
return cjson.encode({[true] = 1})
return cjson.encode({[function() end] = 1})
return cjson.encode()
return cjson.encode(1, 2)
local t = {} t.t = t return cjson.encode(t)
local t = {} local r = t for i = 1, 999 do t[1] = {} t = t[1] end return #cjson.encode(r)
local t = {} local r = t for i = 1, 1000 do t[1] = {} t = t[1] end return #cjson.encode(r)
return cjson.encode(cjson.decode('{"b":1,"a":[1,2,{"c":null}],"d":"x"}'))
return cjson.decode('[1,2.5,"x",true,false,null]')
return cjson.decode('{"a":1}').a
return cjson.decode('{"a":null}').a == cjson.null
return cjson.decode(' [ 1 , 2 ] ')
return cjson.decode('"\\u00e9\\ud83d\\ude00\\n\\"\\\\\\/"')
return cjson.decode('"\\ud83d"')
return cjson.decode('"\\ude00"')
return cjson.decode('"\\u12"')
return cjson.decode('"\\x"')
return cjson.decode('"a')
return cjson.decode('"a\nb"')
return cjson.decode('[1,2')
return cjson.decode('[1,]')
return cjson.decode('[1 2]')
return cjson.decode('{"a"}')
return cjson.decode('{"a":}')
return cjson.decode('{a:1}')
return cjson.decode('{"a":1,}')
return cjson.decode('{"a":1 "b":2}')
return cjson.decode('')
return cjson.decode('x')
return cjson.decode('1 2')
return cjson.decode('[1]]')
return cjson.decode('nul')
return cjson.decode('0x10')
return cjson.decode('010')
return cjson.decode('-5')
return cjson.decode('1e3')
return cjson.decode('1.5e-3') == 0.0015
return tostring(cjson.decode('nan'))
return tostring(cjson.decode('-Infinity'))
return cjson.decode('+1')
return cjson.decode('.5')
return cjson.decode('-')
return cjson.decode()
return cjson.decode({})
return cjson.decode(5)
return cjson.decode(string.rep('[', 1000) .. string.rep(']', 1000))[1] ~= nil
return cjson.decode(string.rep('[', 1001) .. string.rep(']', 1001))
return cjson.decode(string.rep('{"a":', 1001) .. '1' .. string.rep('}', 1001))
return cjson.decode('{"a":1,"a":2}').a
return cjson.decode('12345678901234567890') == 12345678901234567890
return cjson.decode('[]')
return #cjson.decode('{}')
local ok, e = pcall(cjson.decode, 'x') return e
return cjson.encode(cjson.decode('[]'))
return cjson._NAME
return tostring(cjson.null)
return cjson.encode({a = cjson.null, b = {}})
return cjson.encode(setmetatable({1, 2}, {__index = function() return 5 end}))
return cjson.encode({'a', 'b', n = nil})
""".strip().splitlines()

BINARY = r"""
return {bit.band(12, 10), bit.bor(12, 10), bit.bxor(12, 10), bit.bnot(0), bit.bnot(5)}
return {bit.band(7, 6, 3), bit.bor(1, 2, 4), bit.bxor(1), bit.band(-1, 255)}
return {bit.tobit(0xffffffff), bit.tobit(2^31), bit.tobit(2^32 + 5), bit.tobit(-1), bit.tobit(1.5), bit.tobit(2.5)}
return {bit.lshift(1, 31), bit.lshift(1, 33), bit.rshift(-1, 1), bit.arshift(-256, 4), bit.rshift(256, 4)}
return {bit.rol(0x12345678, 8), bit.ror(0x12345678, 8), bit.rol(-1, 5), bit.bswap(0x12345678), bit.ror(1, 0)}
return {bit.tohex(255), bit.tohex(-1, 4), bit.tohex(255, -4), bit.tohex(1, 0), bit.tohex(2^40 + 1), bit.tohex(1, 12)}
return bit.band()
return bit.band('x')
return bit.band({})
return bit.band('12', 10)
return bit.lshift(1)
return struct.pack('>I2', 258)
return struct.pack('<I2', 258)
return struct.pack('>i4', -2)
return struct.pack('bBhHlLT', -1, 255, -2, 65535, -3, 5, 6)
return struct.pack('>fd', 1.5, -2.25)
return struct.pack('<d', 0.1)
return struct.pack('s', 'abc')
return struct.pack('c2', 'abc')
return struct.pack('c0', 'abc')
return struct.pack('c5', 'abc')
return struct.pack('i', 'x')
return struct.pack('i')
return struct.pack('z', 1)
return struct.pack('i33', 1)
return struct.pack('>i8', 2^53)
return struct.pack('>!4 b i4', 1, 2)
return struct.pack('!3', 1)
return struct.pack('>x b x', 1)
return struct.pack('>I3', 16777215)
return struct.pack('b', 1.9)
return {struct.unpack('>I2', '\1\2')}
return {struct.unpack('>i4', '\255\255\255\254')}
return {struct.unpack('<h', '\254\255')}
return {struct.unpack('s', 'abc\0def')}
return {struct.unpack('>Bc0', '\3abcd')}
return {struct.unpack('c2', 'abc')}
return {struct.unpack('>I2', 'xx\1\2', 3)}
return {struct.unpack('>I4', 'xx')}
return {struct.unpack('s', 'abc')}
return {struct.unpack('>d', struct.pack('>d', 0.5))[1] == 0.5}
local x = struct.unpack('<f', struct.pack('<f', 0.1)) return tostring(x)
return {struct.unpack('>!4 b i4', struct.pack('>!4 b i4', 1, 2))}
return {struct.size('>I2'), struct.size('b i4'), struct.size('!8 b i8'), struct.size('d f l')}
return struct.size('s')
return struct.size('c0')
return struct.unpack('>I2')
return struct.pack()
return cmsgpack.pack(1)
return cmsgpack.pack(127) .. cmsgpack.pack(128) .. cmsgpack.pack(255) .. cmsgpack.pack(256) .. cmsgpack.pack(65536)
return cmsgpack.pack(2^32) .. cmsgpack.pack(2^53) .. cmsgpack.pack(-1) .. cmsgpack.pack(-32) .. cmsgpack.pack(-33)
return cmsgpack.pack(-129) .. cmsgpack.pack(-32769) .. cmsgpack.pack(-2147483649) .. cmsgpack.pack(-2^53)
return cmsgpack.pack(0.5) .. cmsgpack.pack(0.1) .. cmsgpack.pack(1e300) .. cmsgpack.pack(1/0) .. cmsgpack.pack(2^70)
return cmsgpack.pack('x') .. cmsgpack.pack('') .. cmsgpack.pack(string.rep('x', 32)) .. cmsgpack.pack(true, false, nil)
return redis.sha1hex(cmsgpack.pack(string.rep('x', 300)) .. cmsgpack.pack(string.rep('x', 70000)))
return cmsgpack.pack({1, 2, 3}) .. cmsgpack.pack({}) .. cmsgpack.pack({a = 1}) .. cmsgpack.pack({{}, {x = {1}}})
return cmsgpack.pack({[1] = 1, [3] = 3}) .. cmsgpack.pack({[1.5] = 1})
local t = {} for i = 1, 20 do t[i] = i end return cmsgpack.pack(t)
local t = {} local r = t for i = 1, 20 do t[1] = {} t = t[1] end return cmsgpack.pack(r)
return cmsgpack.pack(function() end)
return cmsgpack.pack()
return cmsgpack.unpack(cmsgpack.pack({1, {2, 'x'}, true, -5, 300, 70000, -300, 2^40}))
return cmsgpack.unpack(cmsgpack.pack({a = {b = 'c'}})).a.b
return {cmsgpack.unpack(cmsgpack.pack(1, 2, 'x'))}
return {cmsgpack.unpack('')}
return {cmsgpack.unpack('\192')}
return {cmsgpack.unpack_one(cmsgpack.pack(1, 2, 3))}
return {cmsgpack.unpack_one(cmsgpack.pack(1, 2, 3), 2)}
return {cmsgpack.unpack_limit(cmsgpack.pack(1, 2, 3), 2)}
return {cmsgpack.unpack_limit(cmsgpack.pack(1, 2, 3), 2, 1)}
return {cmsgpack.unpack_limit(cmsgpack.pack(1, 2, 3), -1)}
return {cmsgpack.unpack_one(cmsgpack.pack(1), 5)}
return cmsgpack.unpack('\205\1')
return cmsgpack.unpack('\193')
return cmsgpack.unpack('\163ab')
return cmsgpack.unpack()
return cmsgpack.unpack({})
return tostring(cmsgpack.unpack(cmsgpack.pack(0.1))) .. tostring(cmsgpack.unpack(cmsgpack.pack(0.5)))
return cmsgpack._NAME
return {math.random(1000), math.random(1000), math.random(5, 7)} ~= nil
""".strip().splitlines()

DIFFERENT_TEXT = [
    (
        r"Please specify at least one argument for (redis\.call\(\)|this call)",
        "Please specify at least one argument for this redis lib call",
    ),
    (r"(Lua redis\(\) command|Command) arguments must be", "Lua redis lib command arguments must be"),
    (
        r"Wrong number of args calling (Redis command From Lua|command from) script",
        "Wrong number of args calling Redis command from script",
    ),
    (r"This (Redis|Valkey) command is not allowed from scripts?", "This Redis command is not allowed from script"),
    (r"^server\.log", "redis.log"),
    (r"invalid expire time in (\w+)$", r"invalid expire time in '\1' command"),
]
"""What servers say in different words, and what a Keyspace says."""

DIFFERENT_ON_6_2 = frozenset(
    """
return {double = 0.1}
return {big_number = '123'}
return {verbatim_string = {string = 'x', format = 'txt'}}
return redis.status_reply()
return redis.status_reply(1)
return redis.error_reply('-MY fault')
return redis.error_reply('fault').err
return redis.error_reply()
return redis.error_reply({})
redis.call('SET', KEYS[1], 0.1) return redis.call('GET', KEYS[1])
redis.call('SET', KEYS[1], -0.0) return redis.call('GET', KEYS[1])
redis.call('SET', KEYS[1], 1e-7) return redis.call('GET', KEYS[1])
redis.call('SET', KEYS[1], 2^62) return redis.call('GET', KEYS[1])
return redis.pcall()
return redis.pcall('SET', KEYS[1], nil)
return redis.pcall('SET', KEYS[1])
return redis.pcall('SET', KEYS[1]).err
local ok, e = pcall(redis.call, 'SET', KEYS[1]) return e
local ok, e = pcall(error, {err = 'MY fault'}) return {tostring(ok), type(e), tostring(e)}
error({err = 'MY fault'})
error({1})
error()
redis.log(9, 'x')
return print
return type(os.clock())
return os.time
return newproxy
return setfenv
return getfenv
return loadstring('x = 5')()
local n = {} for k in pairs(os) do n[#n + 1] = k end table.sort(n) return n
""".strip().splitlines()
)
"""Scripts that 6.2 answers otherwise: numbers with seventeen digits, places inside of errors, other globals."""
