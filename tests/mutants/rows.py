"""What a server answered to rows of commands: asked once, and replayed against each mutant."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import differential
import pytest
import test_keyspace
import test_keyspace_hashes
import test_keyspace_lists
import test_keyspace_sets
import test_keyspace_sorted_sets
import test_keyspace_streams
import test_keyspace_strings
from differential import PAUSES, Error, Local, Remote, comparable
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from coord.testing.clock import START_US, Clock, VirtualClock
from coord.testing.servers import Engine, engines

__all__ = ["Asked", "Rows", "recorded_rows", "rows_fail"]

ENGINE = "redis-8.2"
_FILES = (
    test_keyspace_hashes,
    test_keyspace_lists,
    test_keyspace_sets,
    test_keyspace_sorted_sets,
    test_keyspace_streams,
    test_keyspace_strings,
)


class Asked(NamedTuple):
    """A command, when it ran, the server's reply, whether that is an error, and all keys afterwards."""

    at_us: int
    words: list[Any]
    reply: Any
    is_error: bool
    stored: dict[str, Any]


Rows = list[list[Asked]]


def recorded_rows(each: int) -> Rows:
    """Draw that many rows of each kind of command, as the tests of the Keyspace do, and ask a server."""
    engine = engines()[ENGINE]
    rows: Rows = []
    with differential.running(engine) as (remote, clock):
        for commands, differs in _drawn(engine):
            _record(commands, differs, each, remote, clock, rows)
    return rows


def _drawn(engine: Engine) -> Iterator[tuple[Any, Any]]:
    """Yield the commands that each test draws, and what it leaves out."""
    found: list[tuple[Any, Any]] = [(test_keyspace.COMMANDS, lambda words, engine: False)]

    def collect(engine: Engine, commands: Any, *, rows: int, differs: Any = lambda words, engine: False) -> None:
        found.append((commands, differs))

    with pytest.MonkeyPatch.context() as patch:
        for module in _FILES:
            patch.setattr(module, "compare", collect)
            for name, test in vars(module).items():
                if name.startswith("test_"):
                    _called(test, engine)
    yield from found


def _called(test: Callable[..., Any], engine: Engine) -> None:
    """Call a test once for each of its parameters."""
    marks = [
        mark for mark in getattr(test, "pytestmark", []) if mark.name == "parametrize" and mark.args[0] != "engine"
    ]
    if not marks:
        test(engine)
    for mark in marks:
        for value in mark.args[1]:
            test(engine, **{mark.args[0]: value.values[0] if hasattr(value, "values") else value})


def _record(commands: Any, differs: Any, most: int, remote: Remote, clock: VirtualClock, rows: Rows) -> None:
    @settings(
        max_examples=most,
        derandomize=True,
        database=None,
        deadline=None,
        phases=(Phase.generate,),
        suppress_health_check=tuple(HealthCheck),
    )
    @given(st.lists(st.tuples(PAUSES, commands), min_size=10, max_size=30))
    def record(drawn: list[tuple[int, list[Any]]]) -> None:
        clock.set(START_US)
        remote.run("FLUSHALL")
        row: list[Asked] = []
        for pause, words in drawn:
            if differs(words, remote.engine):
                continue
            clock.advance(us=pause)
            reply, keys = remote.run_all([words, ("KEYS", "*")])
            answer = comparable(words, reply, remote.engine)
            row.append(Asked(clock.now_us, words, answer, type(answer) is Error, remote.dump(keys)))
        rows.append(row)

    record()


def rows_fail(rows: Rows) -> int:
    """Return the number of the first row, from 1, in which the Keyspace differs from the server; 0: none."""
    clock = Clock()
    engine = engines()[ENGINE]
    for number, row in enumerate(rows, 1):
        local = Local(clock)  # type: ignore[arg-type]  # of the clock it only reads the time
        for asked in row:
            clock.set(asked.at_us)
            try:
                mine = comparable(asked.words, local.run(*asked.words), engine)
                if (mine, type(mine) is Error, local.dump()) != (asked.reply, asked.is_error, asked.stored):
                    return number
            except Exception:
                return number
    return 0
