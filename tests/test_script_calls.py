"""Calls of a user's own script: compared with its header before anything is sent, and made on every backend."""

from __future__ import annotations

import asyncio
import enum
from typing import Any

import pytest
from live import Live

import coord
from coord.coordinator import runner_of
from coord.errors import ConfigError
from coord.family import Family
from coord.modes import M, op
from coord.script import Script

pytest_plugins = ("live_fixtures",)

PUT = """\
-- put: keep texts under a name.
--
-- KEYS   texts    list, expiring: what was put        shop:texts:{name}
--        seen     set, expiring: who put               shop:texts:{name}:seen
-- ARGV   who      name    who puts
--        note     str     whatever
--        delta    int     a number
--        most     count   another
--        ttl_ms   ms      how long it is kept
--        grace_ms ms?     how long more; 0: not at all
--        side     L|R     at which end
--        text...  str     what to put
-- REPLY  how many were put
-- ERRORS WRONGTYPE
-- COST   O(texts), one write each
-- REPEAT never

local texts, seen = KEYS[1], KEYS[2]
local who, note, delta, most, ttl_ms = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local grace_ms, side = ARGV[6], ARGV[7]

redis.call("SADD", seen, who)
for i = 8, #ARGV do
  redis.call("RPUSH", texts, ARGV[i])
end
redis.call("PEXPIRE", seen, ttl_ms)
redis.call("PEXPIRE", texts, ttl_ms)
return #ARGV - 7
"""


def _put(space: Any, texts: Any, seen: Any, who: Any, note: Any, delta: Any, most: Any, ttl_ms: Any, grace_ms: Any,
         side: Any, *rest: Any) -> int:  # fmt: skip
    space.sadd(seen, who)
    for text in rest:
        space.rpush(texts, text)
    space.pexpire(seen, ttl_ms)
    space.pexpire(texts, ttl_ms)
    return len(rest)


SCRIPT = Script("put", PUT, _put)
KEYS = ("shop:texts:{a}", "shop:texts:{a}:seen")
ARGV: tuple[Any, ...] = ("anna", "", -1, 0, 1_000, 0, "L", "x", "é")


class Kind(enum.StrEnum):
    LEFT = "L"


class Number(enum.IntEnum):
    ONE = 1


def call(keys: tuple[Any, ...] = KEYS, argv: tuple[Any, ...] = ARGV) -> coord.Call[Any]:
    return coord.Call(SCRIPT, keys, argv, lambda reply: reply)


def with_argument(place: int, value: Any) -> coord.Call[Any]:
    return call(argv=(*ARGV[:place], value, *ARGV[place + 1 :]))


def test_a_call_as_declared_is_made(live: Live) -> None:
    with live.connect() as c:
        assert c.run(call()) == 2
        assert c.run(call(argv=ARGV[:7])) == 0, "an argument that repeats may be missing"
        assert c.run_many([call(), call()]) == [2, 2]


@pytest.mark.parametrize("error", [IndexError("no such place"), KeyError("x"), ZeroDivisionError(), TypeError("mine")])
def test_what_a_reader_raises_is_shown_as_itself(error: Exception, live: Live) -> None:
    """On every backend, also of a call among many."""

    def read(_: Any) -> Any:
        raise error

    with live.connect() as c:
        wrong = call()._replace(read=read)
        with pytest.raises(type(error)) as raised:
            c.run(wrong)
        assert raised.value is error
        assert c.run_many([wrong, call()]) == [error, 2]


REFUSED: list[tuple[coord.Call[Any], type[Exception], str]] = [
    (with_argument(0, ""), ValueError, "put: who is empty"),
    (with_argument(0, "x" * 1025), ValueError, "put: who is 1,025 bytes long"),
    (with_argument(0, 1.5), TypeError, "put: who must be a str, not float"),
    (with_argument(0, None), TypeError, "put: who must be a str, not NoneType"),
    (with_argument(1, 1.5), TypeError, "put: note must be a str, not float"),
    (with_argument(1, 7), TypeError, "put: note must be a str, not int"),
    (with_argument(1, b"x"), TypeError, "put: note must be a str, not bytes"),
    (with_argument(1, "half: \ud83d"), ValueError, "put: note is not valid UTF-8"),
    (with_argument(2, "1"), TypeError, "put: delta must be an int, not str"),
    (with_argument(2, 1.0), TypeError, "put: delta must be an int, not float"),
    (with_argument(2, True), ValueError, "put: delta must be an int, not a bool"),
    (with_argument(2, Number.ONE), TypeError, "put: delta must be an int itself, not Number"),
    (with_argument(2, 2**63), ValueError, "put: delta is 9223372036854775808"),
    (with_argument(3, -1), ValueError, "put: most is -1"),
    (with_argument(3, 2**63), ValueError, "put: most"),
    (with_argument(4, 0), ValueError, "put: ttl_ms is 0"),
    (with_argument(4, 1_800_000_000_000), ValueError, "put: ttl_ms is 1800000000000"),
    (with_argument(5, -1), ValueError, "put: grace_ms is -1"),
    (with_argument(6, "M"), ValueError, "put: side is 'M': it is one of L, R"),
    (with_argument(6, Kind.LEFT), TypeError, "put: side must be a str, not Kind"),
    (with_argument(8, 5), TypeError, "put: text must be a str, not int"),
    (call(argv=ARGV[:6]), ValueError, "put: takes the arguments who, note, .*text..., not 6 of them"),
    (call(keys=KEYS[:1]), ValueError, r"put: takes 2 key\(s\) \(texts, seen\), not 1"),
    (call(keys=(*KEYS, "more:{a}")), ValueError, r"put: takes 2 key\(s\) \(texts, seen\), not 3"),
    (call(keys=("shop:{a}", "shop:{b}")), ValueError, "put: keys of two hash tags.*'shop:{a}' and 'shop:{b}'"),
    (call(keys=("shop:a", "shop:b")), ValueError, "put: keys of two hash tags"),
    (call(keys=(b"shop:{a}", "shop:{a}")), TypeError, "put: a key must be a str, not bytes"),
]


@pytest.mark.parametrize(("refused", "error", "said"), REFUSED, ids=[said for _, _, said in REFUSED])
def test_a_call_that_differs_is_refused_before_anything_is_sent(
    refused: coord.Call[Any], error: type[Exception], said: str
) -> None:
    """Also when another call of the same write is in order."""
    with coord.connect("memory://refused") as c:
        with pytest.raises(error, match=said):
            c.run(refused)
        with pytest.raises(error, match=said):
            c.run_many([call(), refused])

    async def awaited() -> None:
        async with coord.connect_async("memory://refused") as ac:
            with pytest.raises(error, match=said):
                await ac.run(refused)
            with pytest.raises(error, match=said):
                await ac.run_many([call(), refused])

    asyncio.run(awaited())
    with coord.connect("memory://refused") as c:
        assert c.run(call(argv=ARGV[:7])) == 0
        assert runner_of(c).space.dump().keys() == {KEYS[1]}, "only the last call has written"  # type: ignore[attr-defined]


def test_an_argument_that_repeats_may_be_required() -> None:
    script = Script("put", PUT.replace("text...  str     what to put", "text...  str     at least one"), _put)
    script.check(KEYS, ARGV)
    with pytest.raises(ValueError, match=r"put: takes the arguments .*, not 7 of them"):
        script.check(KEYS, ARGV[:7])


def test_a_users_family_is_checked_too(live: Live) -> None:
    """Its operations go to the backend directly, and not by way of ``run``."""

    class Texts(Family[M]):
        @op
        def put(self, *argv: Any) -> coord.Call[Any]:
            return self.ops.call(SCRIPT, KEYS, argv, lambda reply: reply)

    with live.connect() as c:
        assert Texts(c).put(*ARGV) == 2
        with pytest.raises(TypeError, match="put: who must be a str, not float"):
            Texts(c).put(1.5, *ARGV[1:])
        assert isinstance(Texts(c.calls).put(1.5, *ARGV[1:]), coord.Call), "a value is looked at when it is made"

    async def awaited() -> None:
        async with live.connect_async() as ac:
            with pytest.raises(ValueError, match="put: who is empty"):
                await Texts(ac).put("", *ARGV[1:])

    asyncio.run(awaited())


# --- words of coord's own -------------------------------------------------------------------------


def named(word: str, *, last: bool) -> str:
    """A script with an argument of that name, among others or last."""
    words = ["first", word] if last else [word, "other"]
    return (
        "-- note: keep an argument.\n--\n"
        "-- KEYS   entity   string: the argument     shop:note:{name}\n"
        f"-- ARGV   {words[0]:<8} count   a number\n"
        f"--        {words[1]:<8} count   a number\n"
        "-- REPLY  the number\n-- ERRORS none\n-- COST   O(1), one write\n-- REPEAT safe: the same again\n\n"
        "local entity = KEYS[1]\n"
        f"local {words[0]}, {words[1]} = ARGV[1], ARGV[2]\n"
        f'redis.call("SET", entity, {word})\n'
        'return redis.call("GET", entity)\n'
    )


@pytest.mark.parametrize("word", ["sequence", "remember_ms"])
@pytest.mark.parametrize("last", [False, True])
def test_words_of_operation_ids_are_refused_elsewhere(word: str, last: bool) -> None:
    with pytest.raises(ConfigError, match=rf"note\.lua:{5 if last else 4}: '{word}' belongs to operation ids"):
        Script("note", named(word, last=last))


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("word", ["turn", "op", "op_id", "nonce", "publish", "slot", "key", "keys", "argv", "call"])
def test_other_words_mean_nothing_to_coord(word: str, last: bool, live: Live) -> None:
    """Wherever such an argument is, its value arrives as it was given, on every backend."""
    source = named(word, last=last)
    parameters = ("entity", "first", word) if last else ("entity", word, "other")
    scope: dict[str, Any] = {}
    exec(
        f"def twin(space, {', '.join(parameters)}):\n    space.set(entity, str({word}))\n    return str({word})", scope
    )
    script = Script("note", source, scope["twin"])
    argv = (1, 7) if last else (7, 1)
    with live.connect() as c:
        made = coord.Call(script, ("shop:note:{a:}",), argv, str)
        assert c.run(made) == "7"
        assert c.run_many([made, made]) == ["7", "7"]

    async def awaited() -> str:
        async with live.connect_async() as ac:
            return await ac.run(made)

    assert asyncio.run(awaited()) == "7"


@pytest.mark.parametrize("word", ["end", "local", "class", "space", "KEYS", "redis", "tonumber"])
def test_words_that_mean_something_are_refused(word: str) -> None:
    with pytest.raises(ConfigError, match=rf"note\.lua:4: '{word}' already means something"):
        Script("note", named(word, last=False))


def test_a_word_declared_twice_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"note\.lua:4: 'entity' is declared twice"):
        Script("note", named("entity", last=False))


REMEMBERED = """\
-- add: count.
--
-- KEYS   total    string: a number                    shop:total:{name}
--        op       string, expiring: the answer         shop:total:{name}:op:<op_id>
-- ARGV   amount   count   how much
--        remember_ms ms?  how long the answer is kept
-- REPLY  the sum
-- ERRORS WRONGTYPE
-- COST   O(1), two writes
-- REPEAT remembered: the first answer again

local total, op = KEYS[1], KEYS[2]
local amount, remember_ms = ARGV[1], ARGV[2]
return redis.call("INCRBY", total, amount)
"""


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("--        remember_ms ms?  how long the answer is kept\n", "", r"add\.lua:9: REPEAT says remembered, and no"),
        ("remember_ms ms? ", "remember_ms count", r"add\.lua:10: REPEAT says remembered, and no ARGV 'remember_ms'"),
        ("op       string, expiring", "op       string", r"add\.lua:10: REPEAT says remembered, and no expiring key"),
        (":op:<op_id>", ":op", r"add\.lua:10: REPEAT says remembered, and no expiring key with <op_id>"),
        ("REPEAT remembered", "REPEAT safe", r"add\.lua:6: 'remember_ms' belongs to operation ids"),
    ],
)
def test_remembered_without_all_that_remembers_is_refused(old: str, new: str, said: str) -> None:
    """A repetition after a lost reply would count twice."""
    assert Script("add", REMEMBERED).repeats == "remembered"
    assert old in REMEMBERED
    with pytest.raises(ConfigError, match=said):
        Script("add", REMEMBERED.replace(old, new))


# --- keys and includes ----------------------------------------------------------------------------


def test_keys_of_two_names_are_refused() -> None:
    """A cluster has them in two slots, and refuses the script there; here it is refused everywhere."""
    with pytest.raises(ConfigError, match=r"put\.lua:4: 'seen' is under \{other\} and 'texts' under \{name\}"):
        Script("put", PUT.replace("{name}:seen", "{other}:seen"))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("-- include: nope", r"x\.lua:1: there is no lib/nope\.lua to include"),
        ("-- include: " + "x" * 300, r"x\.lua:1: an include names a file .* at most 64 letters"),
        ("-- include: ", r"x\.lua:1: an include names a file .* not ''"),
        ("-- include:", r"x\.lua:1: an include names a file .* not ''"),
        ("-- include: ../add", r"x\.lua:1: an include names a file .* not '\.\./add'"),
        ("-- include: add.lua", r"x\.lua:1: an include names a file .* not 'add\.lua'"),
        ("-- include: add\0", r"x\.lua:1: an include names a file"),
    ],
)
def test_an_include_that_cannot_be_is_refused(line: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Script("x", f"{line}\nreturn 1\n")


def test_a_text_keeps_what_only_python_takes_for_the_end_of_a_line() -> None:
    source = 'return "\x1e\x0b\u2028" -- three'
    assert Script("x", source).source == f"{source}\n"
    assert Script("x", "local a = 1\r\n\r\nreturn a\r\n").source == "local a = 1\n\nreturn a\n"
    assert Script("x", "").source == "\n"


def test_a_users_library_is_included(tmp_path: Any) -> None:
    """A folder of the user's is searched first, then coord's libraries."""
    (tmp_path / "double.lua").write_text("-- double: twice a number.\nlocal function double(n)\n  return 2 * n\nend\n")
    source = Script("x", "-- include: double\n-- include: now_ms\nreturn double(2)\n", lib=tmp_path).source
    assert "return 2 * n" in source
    assert "local function now_ms" in source
    with pytest.raises(ConfigError, match=r"x\.lua:1: there is no lib/double\.lua"):
        Script("x", "-- include: double\nreturn double(2)\n")
