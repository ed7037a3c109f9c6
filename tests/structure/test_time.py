"""Time is handed in: no module but coord/clock.py reads the clock of the machine."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest
from sources import modules, tree

READS = {"time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns"}

MAY = ("coord.clock",)

ALLOWED = {
    # Its timers are those of its event loop, in the loop's own time.
    "coord.redis.subscriber",
}
"""Modules that still do. Delete here those that no longer do; none is added."""


def reads(source: ast.Module) -> Iterator[str]:
    """Yield each place where a file reads the clock, or takes what reads it."""
    for node in ast.walk(source):
        match node:
            case ast.ImportFrom("time", names):
                yield from (f"from time import {each.name}" for each in names if each.name in READS)
            case ast.Attribute(ast.Name("time"), name) if name in READS:
                yield f"time.{name}"
            case ast.Attribute(ast.Name(owner) | ast.Attribute(_, owner), "time") if owner.endswith("loop"):
                yield f"{owner}.time"
            case ast.Attribute(ast.Name("datetime" | "date"), "now" | "utcnow" | "today" as name):
                yield f"datetime.{name}"


def test_no_module_reads_the_clock() -> None:
    found = {name: set(reads(tree(file))) for name, file in modules().items() if name not in MAY}
    new = {name: read for name, read in found.items() if read and name not in ALLOWED}
    assert not new, f"take the time from the Clock that is handed in: {new}"
    gone = [name for name in ALLOWED if not found.get(name)]
    assert not gone, f"these read no clock any more, so delete them from ALLOWED: {gone}"


@pytest.mark.parametrize(
    "line",
    ["from time import monotonic", "now = time.time()", "self._loop.time()", "loop.time()", "clock = time.monotonic"],
)
def test_each_way_to_read_a_clock_is_seen(line: str) -> None:
    assert list(reads(ast.parse(line)))


def test_sleeping_and_formatting_read_no_clock() -> None:
    assert not list(reads(ast.parse("from time import sleep\ntime.strftime('%H')\nspace.time()")))
