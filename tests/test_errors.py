"""Errors: each says what went wrong and where, and nothing was changed."""

from __future__ import annotations

import re
from typing import Any

import pytest
from backends import Backend
from operations import EXAMPLES, Example

import coord
from coord.memory import Keyspace


@pytest.mark.parametrize("example", [each for each in EXAMPLES if each.kind != "any"], ids=str)
def test_another_type_of_value_at_the_key_is_an_error(backend: Backend, c: Any, example: Example) -> None:
    """A key that holds something else raises WrongType, naming the script, and stays as it is."""
    prepared = example.prepare(c)
    backend.plant(example.key, "text" if example.kind == "list" else ["a", "list"])
    before = backend.values
    with pytest.raises(coord.WrongType, match="another kind of value"):
        example.run(prepared)
    assert backend.values == before


@pytest.mark.parametrize("example", [each for each in EXAMPLES if each.kind == "any"], ids=str)
def test_some_operations_take_any_kind_of_value(backend: Backend, c: Any, example: Example) -> None:
    """What asks only whether a key is there, or removes it, works on every kind."""
    prepared = example.prepare(c)
    backend.plant(example.key, ["a", "list"])
    assert example.run(prepared) is not None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Coordinator.claim", "five"),
        ("Coordinator.holder", "five"),
        ("Coordinator.bump", "five"),
        ("Coordinator.bump", "-5"),
        ("Coordinator.bump", "5.0"),
        ("Coordinator.bump", " 5"),
        ("Coordinator.bump_if_current", "five"),
        ("Coordinator.version", "five"),
        ("Coordinator.is_stale", "five"),
        ("Lease.renew", "five"),
        ("Lease.release", "five"),
        ("Lease.ensure_held", "five"),
        ("Stats.merge", {"n": "five"}),
        ("Stats.consume", {"n": "five"}),
        ("Stats.peek", {"n": "five"}),
        ("Kv.incr", "five"),
        ("Kv.incr", "05"),
    ],
)
def test_a_value_that_coord_did_not_write_is_an_error(backend: Backend, c: Any, name: str, value: Any) -> None:
    """A value that coord never wrote raises ``Corrupt``, and stays, so that the cause can be found."""
    example = next(each for each in EXAMPLES if each.name == name)
    prepared = example.prepare(c)
    backend.plant(example.key, value)
    before = backend.values
    with pytest.raises(coord.Corrupt):
        example.run(prepared)
    assert backend.values == before


FAULTY = """\
local value = redis.call("GET", KEYS[1])
local length = #ARGV

return value.missing.field
"""


def _twin(space: Keyspace, key: str) -> str:
    return space.get(key) or ""


def test_a_failing_script_names_file_line_and_text(server: Backend) -> None:
    """A runtime error in a script of your own says where: the file, the line, and what stands there."""
    c = server.connect()
    faulty = coord.Script("faulty", FAULTY, file="scripts/faulty.lua")
    server.place.do("SET", "coord:mine:{x}", "v", "PX", 1000)
    with pytest.raises(coord.ScriptError) as raised:
        c.run(coord.Call(faulty, ("coord:mine:{x}",), (), str))
    assert "scripts/faulty.lua:4: " in str(raised.value)
    assert str(raised.value).endswith("\n    return value.missing.field")


def test_a_script_that_does_not_compile_names_its_line(server: Backend) -> None:
    """A syntax error is reported like any other."""
    c = server.connect()
    broken = coord.Script("broken", "local a = 1\nif a then\nreturn a a\n", file="scripts/broken.lua")
    with pytest.raises(coord.ScriptError, match=re.escape("scripts/broken.lua:3: ")):
        c.run(coord.Call(broken, (), (), str))


def test_an_error_reply_of_one_s_own_names_the_script(server: Backend) -> None:
    """``redis.error_reply`` gives the caller a ScriptError with its text."""
    c = server.connect()
    refusing = coord.Script("refusing", 'return redis.error_reply("COORD_MINE not on Sundays")')
    with pytest.raises(coord.ScriptError, match=re.escape("refusing.lua: not on Sundays")):
        c.run(coord.Call(refusing, (), (), str))


def test_errors_that_have_a_builtin_relative(c: Any) -> None:
    """Who catches Python's own OverflowError or TimeoutError catches coord's too; all are CoordErrors."""
    assert issubclass(coord.CountOverflow, OverflowError)
    assert issubclass(coord.WaitTimeout, TimeoutError)
    for name in coord.__all__:
        found = getattr(coord, name)
        if isinstance(found, type) and issubclass(found, Exception):
            assert issubclass(found, coord.CoordError)
