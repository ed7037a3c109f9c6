"""Every script in lua/: it has a twin and a header that agree with it, passes the checks, and runs as declared."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from backends import covered
from redis.backoff import NoBackoff
from redis.retry import Retry

import coord
import coord.redis
from coord.errors import ConfigError
from coord.script import Argument, Script, all_scripts, inline_includes
from coord.testing.lint import lint
from coord.testing.servers import Engine, Server, free_port
from coord.testing.trial import trial

LUA = Path(coord.__file__).parent.parent / "lua"
FILES = sorted(LUA.glob("*.lua"))
LIBRARY = sorted((LUA / "lib").glob("*.lua"))
SERVERS = [pytest.param(engine, id=name) for name, engine in covered().items()]
SHEBANG_SERVERS = [pytest.param(engine, id=name) for name, engine in covered().items() if engine.version >= (7,)]
every_script = pytest.mark.parametrize("script", all_scripts(), ids=lambda script: script.name)

# --- what is shipped -----------------------------------------------------------------------------


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_file_is_a_script_with_a_twin_and_a_header(file: Path) -> None:
    """What lies in lua/ is loaded when coord is imported, and is complete."""
    found = {script.name: script for script in all_scripts()}
    assert file.stem in found, f"{file.name} is not loaded by any module of coord"
    script = found[file.stem]
    assert script.header is not None, f"{file.name} has no header"
    assert script.twin is not None, f"{file.name} has no twin"
    assert script.header.title.startswith(f"{file.stem}: "), f"{file.name} does not open with its name"


@every_script
def test_the_checks_find_nothing(script: Script) -> None:
    """Each shipped script compiles as Lua 5.1, sets no global, and takes all keys from KEYS."""
    assert [finding.shown() for finding in lint(script, style=True)] == []


def families() -> dict[str, list[Script]]:
    """The shipped scripts by the kind of key that they share."""
    found: dict[str, list[Script]] = {}
    for script in all_scripts():
        assert script.header is not None
        found.setdefault(script.header.keys[0].shape.partition("{")[0], []).append(script)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("family", families().values(), ids=families())
def test_calls_are_what_the_headers_say(family: list[Script]) -> None:
    """Replies, kinds, TTLs and REPEAT of each script, in calls with drawn arguments."""
    assert [finding.shown() for finding in trial(family)] == []


@pytest.mark.parametrize("file", LIBRARY, ids=lambda file: file.stem)
def test_a_library_file_is_one_function_that_is_used(file: Path) -> None:
    """A file in lua/lib/ holds the function it is named after, says what it does, and is included somewhere."""
    lines = file.read_text().splitlines()
    assert lines[0].startswith(f"-- {file.stem}: ")
    assert re.findall(r"^local function (\w+)", "\n".join(lines), re.MULTILINE) == [file.stem]
    assert max(map(len, lines)) <= 88
    included = f"-- include: {file.stem}\n"
    assert any(included in other.read_text() for other in [*FILES, *LIBRARY]), f"nothing includes {file.name}"


@every_script
def test_an_include_takes_one_line(script: Script) -> None:
    """The source that is sent has as many lines as the file, so that line numbers in errors are those of the file."""
    written = (LUA / f"{script.name}.lua").read_text().splitlines()
    sent = script.source.splitlines()
    assert len(sent) == len(written)
    changed = [line for line, now in zip(written, sent, strict=True) if line != now]
    assert all(line.startswith("-- include: ") for line in changed)


@pytest.mark.parametrize("engine", SERVERS[:1])
def test_connecting_tries_every_command_that_scripts_use(engine: Engine) -> None:
    """A user who lacks one is turned away at once: see permitted.lua."""
    with Server(engine) as server, redis.Redis(port=server.port) as client:
        known = {name.upper() for name in client.command()}
    tried = set(re.findall(r'try\("([A-Z]+)"', (LUA / "permitted.lua").read_text()))
    for file in [*FILES, *LIBRARY]:
        assert set(re.findall(r'"([A-Z]{3,})"', file.read_text())) & known - {"READONLY"} <= tried | {
            "PUBLISH",
            "SPUBLISH",
        }, file.name
    assert tried <= known


# --- faults that are found when a script is made -------------------------------------------------

SOUND = """\
-- pick: an example.
--
-- KEYS   stock    hash: what there is                        shop:stock:{item}
--        log      list: what was picked                      shop:stock:{item}:log
-- ARGV   who      name    who picks
--        ttl_ms   ms?     how long it is kept
--        size...  name    which sizes
--        count... int     how many of each
-- REPLY  1
-- ERRORS WRONGTYPE
-- COST   O(sizes)
-- REPEAT safe: it may

local stock, log = KEYS[1], KEYS[2]
local who, ttl_ms = ARGV[1], ARGV[2]

local length = redis.call("LLEN", log)
if length > 100 then
  return 0
end
for i = 3, #ARGV, 2 do
  redis.call("HSET", stock, ARGV[i], ARGV[i + 1])
end
redis.call("RPUSH", log, who, ttl_ms)
return 1
"""


def pick(space: Any, stock: str, log: str, who: str, ttl_ms: int, *sizes: str | int) -> int:
    return 1


def pick_in_another_order(space: Any, stock: str, log: str, ttl_ms: int, who: str, *sizes: str | int) -> int:
    return 1


def pick_too_little(space: Any, stock: str, log: str, who: str, *sizes: str | int) -> int:
    return 1


def pick_no_rest(space: Any, stock: str, log: str, who: str, ttl_ms: int) -> int:
    return 1


def test_the_sound_example_is_accepted() -> None:
    """The faults below are made in a script that is in order."""
    assert lint(Script("pick", SOUND, pick)) == []


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("-- ARGV   who  ", "-- ARGV   whom ", r"ARGV\[1\] is 'whom' in the header and 'who' in the local lines"),
        (
            "local stock, log =",
            "local log, stock =",
            r"KEYS\[1\] is 'stock' in the header and 'log' in the local lines",
        ),
        ("local who, ttl_ms = ARGV[1], ARGV[2]", "local who = ARGV[1]", r"ARGV\[2\] is 'ttl_ms' .* and 'nothing'"),
        ("= ARGV[1], ARGV[2]", "= ARGV[2], ARGV[1]", r"ARGV\[1\] is 'who' .* and 'ttl_ms' in the local lines"),
        (
            "= KEYS[1], KEYS[2]",
            "= KEYS[1], KEYS[2]\nlocal rest = KEYS[3]",
            "bind 'rest', which KEYS in the header does not declare",
        ),
        ("i = 3, #ARGV, 2", "i = 3, #ARGV", "the header repeats 2 argument"),
        (
            "--        size...  name    which sizes\n--        count... int     how many of each\n",
            "",
            "repeats no argument",
        ),
        ("name    who picks", "text    who picks", "ARGV who has type 'text'"),
        ("hash: what there is", "table: what there is", "KEYS stock has no kind"),
        ("shop:stock:{item}:log", "shop", "KEYS log shows no shape"),
        ("-- COST   O(sizes)\n", "", "its header has no COST line"),
        ("-- REPEAT safe: it may", "-- REPEAT perhaps", "REPEAT says 'perhaps'"),
        ("local stock, log", "-- include: nowhere\nlocal stock, log", r"there is no lib/nowhere\.lua to include"),
    ],
)
def test_a_fault_in_the_text_is_named(old: str, new: str, said: str) -> None:
    """A header, local lines and twin that disagree are refused when the script is made: file, word and both sides."""
    assert old in SOUND
    with pytest.raises(ConfigError, match=rf"^pick\.lua:\d+: .*{said}"):
        Script("pick", SOUND.replace(old, new), pick)


@pytest.mark.parametrize(
    ("twin", "said"),
    [
        (pick_in_another_order, "the header says 'who' where the twin pick_in_another_order says 'ttl_ms'"),
        (pick_too_little, "the header says 'ttl_ms' where the twin pick_too_little says 'nothing'"),
        (pick_no_rest, "only one of the header and the twin pick_no_rest has arguments that repeat"),
    ],
)
def test_a_twin_with_other_words_is_named(twin: Any, said: str) -> None:
    """The twin's parameters are the header's words, in the same order."""
    with pytest.raises(ConfigError, match=f"^pick.lua: {said}"):
        Script("pick", SOUND, twin)


def test_a_circle_of_includes_is_shown() -> None:
    """Includes that include each other are refused, and the message shows the way round."""
    files = {"a": "-- include: b\nlocal function a() end", "b": "-- include: c", "c": "-- include: a"}
    with pytest.raises(ConfigError, match=r"^x\.lua:1: includes form a circle: a -> b -> c -> a$"):
        inline_includes("-- include: a\nreturn 1", "x.lua", files.__getitem__)


def test_a_missing_include_shows_who_asked_for_it() -> None:
    """The message shows the way from the script to the file that is not there."""

    def read(name: str) -> str:
        if name == "a":
            return "-- include: b"
        raise FileNotFoundError

    with pytest.raises(ConfigError, match=r"^x\.lua:1: there is no lib/b\.lua to include \(by way of a\)$"):
        inline_includes("-- include: a\nreturn 1", "x.lua", read)


def test_what_is_included_twice_stands_once() -> None:
    """Two libraries that both need a third share it."""
    files = {
        "a": "-- include: c\nlocal function a() return c() end",
        "b": "-- include: c\nlocal function b() return c() end",
        "c": "local function c() return 1 end",
    }
    source = inline_includes("-- include: a\n-- include: b\nreturn a() + b()", "x.lua", files.__getitem__)
    assert source.count("local function c()") == 1
    assert len(source.splitlines()) == 3
    assert lint(Script("x", source)) == []


# --- faults that the checks find -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("if if", "bad.lua:1:4: unexpected symbol near 'if'"),
        ("return 1 // 2", "bad.lua:1:11: unexpected symbol near '/'"),
        ("goto done\n::done::", "bad.lua:1:6: '=' expected near 'done'"),
        ("\ncount = 1", "bad.lua:2:1: assigns the global 'count'"),
        ("local function f()\n  total = 1\nend", "bad.lua:2:3: assigns the global 'total'"),
        ("function f()\nend", "bad.lua:1:10: assigns the global 'f'"),
        ("local a = 1\nreturn b", "bad.lua:2:8: reads the global 'b'"),
        ("do local a = 1 end\nreturn a", "bad.lua:2:8: reads the global 'a'"),
        ("for i = 1, 2 do end\nreturn i", "bad.lua:2:8: reads the global 'i'"),
        ("return os.time()", "bad.lua:1:8: reads the global 'os'"),
        ("return redis.setresp(3)", "bad.lua:1:8: uses redis.setresp"),
        ("return math.random(3)", "bad.lua:1:8: uses math.random"),
        ('local a = KEYS[1]\nreturn redis.call("GET", a .. ":x")', 'bad.lua:2:26: builds a key: a .. ":x"'),
        ('return redis.call("GET", "fixed")', 'bad.lua:1:26: builds a key: "fixed"'),
        ('return redis.call("GET", ARGV[1])', "bad.lua:1:26: uses ARGV[1] as a key"),
        ('local a = KEYS[1]\nredis.call("DEL", a, ARGV[1])', "bad.lua:2:22: uses ARGV[1] as a key"),
        ('local a = KEYS[1]\na = ARGV[1]\nredis.call("DEL", a)', "bad.lua:3:19: uses ARGV[1] as a key"),
        ('local a, b = KEYS[1]\nredis.call("RENAME", a, b)', "bad.lua:2:25: uses 'b' as a key"),
        (
            'local function get(key)\n  return redis.call("GET", key)\nend\nreturn get(ARGV[1])',
            "bad.lua:4:12: uses ARGV[1] as a key",
        ),
        (
            'local get = function(key) return redis.call("GET", key) end\nreturn get(ARGV[1])',
            "bad.lua:2:12: uses ARGV[1] as a key",
        ),
        ('redis.call("TIME")\nredis.call("TIME")', "bad.lua:2:1: calls TIME again"),
        ('for i = 1, 2 do\n  redis.call("TIME")\nend', "bad.lua:2:3: calls TIME again"),
        ('local function now()\n  return redis.call("TIME")\nend\nnow()\nnow()', "bad.lua:2:10: calls TIME again"),
        ("return tostring(1)", "bad.lua:1:8: uses tostring"),
        ('return "a" .. 1', "bad.lua:1:15: joins a number with .."),
        ('return tonumber(ARGV[1]) .. ""', "bad.lua:1:8: joins a number with .."),
        ("return 1.5", "bad.lua:1:8: 1.5 is a float"),
        ("return #ARGV / 2", "bad.lua:1:8: divides"),
        ("return 9007199254740993", "bad.lua:1:8: 9007199254740993 is above 2^53"),
        ("return unpack(ARGV)", "bad.lua:1:8: unpacks all of ARGV"),
        ("return { 1, nil, 3 }", "bad.lua:1:13: nil ends an array"),
        ("return true", "bad.lua:1:8: returns a boolean"),
    ],
)
def test_a_fault_in_the_lua_is_named(source: str, said: str) -> None:
    """Each check names the file, the line, the column and the word that is wrong."""
    assert [str(fault)[: len(said)] for fault in lint(Script("bad", source))][:1] == [said]


@pytest.mark.parametrize(
    "source",
    [
        "return cjson.encode({})",
        "local t = { 1, 2 }\nreturn unpack(t)",
        "local t = {}\nfor i = 1, 10 do t[i] = i end\nreturn unpack(t)",
        "return math.floor(#ARGV / 2)",
        "local t = {}\nfor i = 1, #ARGV, 1000 do t[1] = unpack(ARGV, i, math.min(i + 999, #ARGV)) end\nreturn 1",
        'local m = redis.call("SMEMBERS", KEYS[1])\ntable.sort(m)\nreturn m',
        'for _, key in ipairs(KEYS) do redis.call("DEL", key) end\nreturn 1',
        'local a, b = KEYS[1], KEYS[2]\nlocal c = #ARGV > 0 and a or b\nreturn redis.call("GET", c)',
        'if #ARGV > 1 then redis.call("TIME") else redis.call("TIME") end\nreturn 1',
        'return string.format("%.0f", 3)',
        "local t = { count = 1 }\nreturn t.count",
        "repeat local done = true until done\nreturn 1",
    ],
)
def test_sound_lua_is_not_faulted(source: str) -> None:
    """What looks like the faults above and is in order."""
    assert [finding.shown() for finding in lint(Script("sound", source))] == []


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (
            'local a = KEYS[1]\nreturn redis.call("get", a)',
            "bad.lua:2:19: warning: says 'get'; write commands in capitals",
        ),
        (f"-- {'x' * 86}\nreturn 1", "bad.lua:1:89: warning: is 89 columns wide"),
    ],
)
def test_style_is_a_warning(source: str, said: str) -> None:
    script = Script("bad", source)
    assert [finding.kind for finding in lint(script, style=True)] == ["warning"]
    assert str(lint(script, style=True)[0]).startswith(said)
    assert lint(script) == []


def test_a_finding_shows_its_line_and_a_caret() -> None:
    (finding,) = lint(Script("bad", 'local a = 1\nreturn "ö" .. 1'))
    assert finding.shown().splitlines()[1:] == ['    return "ö" .. 1', "    " + " " * 14 + "^"]


@pytest.mark.slow
def test_time_that_a_caller_brings_along_is_refused() -> None:
    """Clocks of callers differ: an argument that carries one is named."""
    source = SOUND.replace("who ", "now ").replace("who,", "now,")
    said = list(map(str, lint(Script("pick", source))))
    assert said == ["pick.lua:5:11: takes 'now' from its caller: use the server's clock (TIME) or a TTL"]


# --- on real servers -----------------------------------------------------------------------------


@pytest.mark.parametrize("engine", SERVERS)
def test_servers_report_the_line_of_the_file(engine: Engine) -> None:
    """A fault on line 4, behind an include, is reported as line 4, and the error of coord shows that line."""
    source = "-- include: now_ms\n-- include: refresh\n\nlocal broken = nil + now_ms()\nreturn broken\n"
    script = Script("broken", source, file="lua/broken.lua")
    with Server(engine) as server:
        client = connected(server)
        with pytest.raises(redis.ResponseError, match="user_script:4"):
            client.eval(script.source, 0)
        client.close()
    assert script.line(4) == "local broken = nil + now_ms()"


@pytest.fixture(scope="module", params=SHEBANG_SERVERS)
def cluster(request: pytest.FixtureRequest) -> Iterator[redis.Redis]:
    """A cluster of one node, which tells when a script with a shebang strays to keys of another slot."""
    engine: Engine = request.param
    with Server(engine, "--cluster-enabled", "yes", "--cluster-port", str(free_port())) as server:
        client = connected(server)
        client.execute_command("CLUSTER", "ADDSLOTSRANGE", "0", "16383")
        deadline = time.monotonic() + 60
        while client.execute_command("CLUSTER INFO")["cluster_state"] != "ok":
            assert time.monotonic() < deadline, "the cluster of one does not become ready"
            time.sleep(0.05)
        yield client
        client.close()


@pytest.mark.slow
def test_straying_is_noticed(cluster: redis.Redis) -> None:
    """The next test would notice: a script that touches a key of another slot is refused."""
    with pytest.raises(redis.ResponseError, match="do not hash to the same slot"):
        cluster.eval('#!lua\nredis.call("GET", KEYS[1]) return redis.call("GET", "elsewhere")', 1, "here")


@every_script
def test_scripts_keep_to_the_slot_of_their_keys(cluster: redis.Redis, script: Script) -> None:
    """With ``#!lua`` in front, which is for this test only, each script runs without straying to undeclared keys."""
    assert script.header is not None
    keys = [re.sub(r"<\w+>", "1", re.sub(r"\{\w+\}", f"{{{script.name}}}", key.shape)) for key in script.header.keys]
    for turn in (0, -1, 0):
        argv = [example(argument, turn) for argument in script.header.argv]
        cluster.eval("#!lua\n" + script.source, len(keys), *keys, *argv)


def example(argument: Argument, turn: int) -> str | int:
    """A sound argument of a type; of words to choose from, the first or the last."""
    if argument.type in ("str", "name"):
        return "x"
    if "|" in argument.type:
        return argument.type.split("|")[turn]
    return 1_000 if argument.type.startswith("ms") else 1


def connected(server: Server) -> redis.Redis:
    return redis.Redis(port=server.port, decode_responses=True, retry=Retry(NoBackoff(), 0), protocol=2)
