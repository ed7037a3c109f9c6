"""What the tests of ``hold`` share: times, and a count of renewals."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import pytest

import coord
from coord.coordinator import runner_of
from coord.leases import held_of, keeping
from coord.plan import Sleep

JOB = "coord:claim:{job}"

TTL = 6.0
"""Seconds that a lease lasts without renewal: long enough for a machine that stands still for a moment."""

LATE = 10.0
"""Seconds after which something is late, on a busy machine too."""

UNHURRIED: dict[str, Any] = {"timeout": 60.0, "patience": 60.0, "remember": 300.0}
"""Settings under which a call by itself waits for its answer until long after it is late."""


def renew_every(seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let leases be renewed after this pause, where a third of their TTL would be longer."""

    def shorter(pause: float, late: float | None = None) -> Sleep:
        # What nobody renews is followed to its end, in one pause that may not be late at all.
        return Sleep(min(pause, seconds) if late else pause, late)

    monkeypatch.setattr(keeping, "Sleep", shorter)


def in_background(c: Any, change: Callable[[Any], None]) -> None:
    """Change the backend of the background of a coordinator, which has followed nothing there yet."""
    if isinstance(c, coord.AsyncCoordinator):
        # It has no other.
        change(runner_of(c))
        return
    awaited = runner_of(c).awaited

    def changed() -> Any:
        runner = awaited()
        change(runner)
        return runner

    runner_of(c).awaited = changed


def first_failure(c: Any) -> threading.Event:
    """Return an event that is set when a background call of a coordinator has failed."""
    failed = threading.Event()

    def watch(runner: Any) -> None:
        call, run_many = runner.call, runner.run_many

        async def watched(*words: Any) -> Any:
            try:
                return await call(*words)
            except Exception:
                failed.set()
                raise

        async def many_watched(calls: Any, within: float | None = None) -> list[Any]:
            answers: list[Any] = await run_many(calls, within)
            if any(isinstance(answer, Exception) for answer in answers):
                failed.set()
            return answers

        runner.call, runner.run_many = watched, many_watched

    in_background(c, watch)
    return failed


def count_renewals(lease: Any, times: int) -> threading.Event:
    """Return an event that is set when a lease has been renewed so many times from now on."""
    held = held_of(lease)
    done, count, end_renewal = threading.Event(), iter(range(1, times)), held.end_renewal

    def counted(sent: Any, *, renewed: bool) -> None:
        end_renewal(sent, renewed=renewed)
        if renewed and next(count, None) is None:
            done.set()

    held.end_renewal = counted  # type: ignore[method-assign]
    return done


@contextmanager
def told_of_the_loss() -> Generator[None]:
    """Leaving the block that is inside raises ``LeaseLost``."""
    with pytest.raises(coord.LeaseLost, match=r"the lease of 'job' .* ran out or was taken: stop the work"):
        yield
