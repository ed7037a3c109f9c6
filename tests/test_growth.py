"""What an operation costs does not grow with what is stored: the commands that its script makes, counted by the server.

The bounds of those whose cost must grow are in their docstrings.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from live import Live

import coord

pytest_plugins = ("live_fixtures",)

OF_THE_LOOK = ("info", "config|resetstat", "evalsha", "eval", "script|load")


def commands(live: Live, do: Callable[[], Any]) -> dict[str, int]:
    """How often the scripts of ``do`` make each command."""
    live.forget_calls()
    do()
    stats = live.client.info("commandstats")
    calls = {name.removeprefix("cmdstat_"): each["calls"] for name, each in stats.items()}
    # Redis 6.2 counts CONFIG and SCRIPT without their subcommands.
    return {name: count for name, count in calls.items() if name not in (*OF_THE_LOOK, "config", "script")}


def test_adding_work_costs_the_same_with_a_thousand_stages(live_server: Live) -> None:
    with live_server.connect() as c:
        request = c.request("r")
        request.register()
        request.add("first", "a")
        few = commands(live_server, lambda: request.add("first", "b"))
        new = commands(live_server, lambda: request.add("second", "a"))
        c.run_many([c.calls.request("r").add(f"stage-{number}", "a") for number in range(1_000)])
        assert commands(live_server, lambda: request.add("first", "c")) == few
        assert commands(live_server, lambda: request.add("last", "a")) == new
        assert commands(live_server, lambda: request.done("first", "c")) == commands(
            live_server, lambda: request.done("last", "a")
        )
        assert sum(commands(live_server, request.is_complete).values()) <= 2


def test_a_hundred_kept_errors_are_read_by_one_command(live_server: Live) -> None:
    with live_server.connect() as c:
        request, barrier = c.request("r"), c.barrier("b")
        request.register()
        barrier.open(parties=101)
        for number in range(100):
            request.add("s", f"piece-{number}")
            request.fail("s", f"piece-{number}", "no luck")
            barrier.fail(f"party-{number}", "no luck")
        barrier.arrive("last")
        for ask in (request.status, barrier.status):
            asked = commands(live_server, ask)
            assert asked.get("hget", 0) <= 1
            assert sum(asked.values()) <= 6, asked
        assert len(request.status()["s"].errors) == 100
        assert len(barrier.status().errors) == 100


def test_what_may_be_large_is_removed_in_the_background(live_server: Live) -> None:
    """By UNLINK: DEL frees every field before the server answers its next client."""
    with live_server.connect(remember=0) as c:
        c.kv.rpush("list", "a")
        c.stats("s").merge("id", n=1)
        c.request("r").register()
        c.barrier("b").open(2)
        for remove in (
            lambda: c.kv.delete("list"),
            lambda: c.stats("s").consume("id"),
            lambda: c.request("r").cleanup(),
            lambda: c.barrier("b").open(2),
        ):
            made = commands(live_server, remove)
            assert made.get("unlink", 0) >= 1, made
            assert "del" not in made


def test_one_merge_takes_at_most_a_thousand_fields(live: Live) -> None:
    """The same bound in memory and on servers, before anything is sent."""
    with live.connect() as c:
        with pytest.raises(ValueError, match="10,000 fields in one merge: at most 1,000"):
            c.stats("s").merge("id", {f"field-{number}": 1 for number in range(10_000)})
        for start in range(0, 10_000, 1_000):
            c.stats("s").merge("id", {f"field-{number}": 1 for number in range(start, start + 1_000)})
        taken = c.stats("s").consume("id")
        assert taken is not None
        assert sum(taken.values()) == 10_000


BOUNDS = {
    "KV.lrange": "More than 100,000 values at once are a ``ScriptError``",
    "Stats.merge": "at most 1,000 in one call",
    "Stats.peek": "43 ms of CPU for 100,000 fields",
    "Stats.consume": "60 ms of CPU for 100,000 fields",
    "Barrier.open": "at most 64 KiB",
    "Barrier.status": "first hundred",
    "Request.status": "first hundred",
}


@pytest.mark.parametrize("operation", BOUNDS)
def test_a_bound_is_in_the_docstring(operation: str) -> None:
    family, name = operation.split(".")
    with coord.connect("memory://bounds") as c:
        handle = {"KV": c.kv, "Stats": c.stats("s"), "Barrier": c.barrier("b"), "Request": c.request("r")}[family]
        assert BOUNDS[operation] in " ".join(str(getattr(handle, name).__doc__).split())
