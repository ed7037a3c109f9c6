"""Making calls by their twins: at once, in this process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from itertools import count
from typing import Any, Self, TypeVar

from coord.clock import SYSTEM, Clock
from coord.errors import Closed, ConfigError, CoordError, Unavailable
from coord.fork import ForkSafeLock
from coord.loops import check_loop
from coord.memory.keyspace import Keyspace
from coord.notifier import Notifier
from coord.observe import CallObserved, Observe, Outcome, notify
from coord.options import Options
from coord.script import Call, Script

__all__ = ["AsyncMemory", "Memory", "keyspace", "shared_keyspace"]

T = TypeVar("T")

_CALLS_IN_A_ROW = 64

# Nothing is sent, and keyspaces do not leave the process: a number of the process tells attempts apart.
_nonce = map(hex, count(1)).__next__

_keyspaces: dict[str, tuple[Keyspace, Clock]] = {}
_finding = ForkSafeLock()


def keyspace(name: str = "") -> Keyspace:
    """Return this process's keyspace of that name; blocking and async coordinators share it."""
    return shared_keyspace(name)[0]


def shared_keyspace(name: str, clock: Clock | None = None) -> tuple[Keyspace, Clock]:
    """Return this process's keyspace of that name, and its clock: that of the first caller.

    ``ConfigError`` when another clock is given: one keyspace cannot live in two times.
    """
    with _finding.lock:
        found = _keyspaces.get(name)
        if found is None:
            found = (Keyspace(), SYSTEM) if clock is None else (Keyspace(clock.time_us), clock)
            _keyspaces[name] = found
        elif clock is not None and clock is not found[1]:
            raise ConfigError(f"memory://{name} is in use with another clock: use a new name for each clock")
        return found


def _closed(script: Script, *_: Any) -> Any:
    """Refuse a call, as a server's backend does once it is closed."""
    raise Closed(f"{script.name} did not run: the coordinator is closed")


class _Memory:
    """The base of both modes: a keyspace."""

    distributed = False
    sends_once = True
    remember_ms = 0
    call_seconds = 2.0
    publish = "PUBLISH"

    def __init__(self, space: Keyspace, clock: Clock = SYSTEM, observe: Observe | None = None) -> None:
        self.space = space
        self.clock = clock
        self.observe = observe
        self.nonce = _nonce
        # Without ``observe``, an operation calls its keyspace directly.
        self._answer: Callable[..., Any] = space.answer if observe is None else self._observed

    def __repr__(self) -> str:
        return f"memory, {len(self.space):,} keys"

    def with_options(self, **options: Any) -> Self:
        """Return the backend itself: time-outs only concern servers. ``ConfigError`` for what a server refuses."""
        Options(**options)
        return self

    def _observed(
        self, script: Script, keys: tuple[str, ...], argv: tuple[str | int, ...], read: Callable[[Any], T]
    ) -> T:
        """Make a call that is observed."""
        began = self.clock.monotonic()
        outcome: Outcome = "done"
        try:
            return self.space.answer(script, keys, argv, read)
        except Unavailable:
            outcome = "unavailable"
            raise
        except (CoordError, TypeError, ValueError):
            outcome = "refused"
            raise
        finally:
            if self.observe is not None:
                seconds = self.clock.monotonic() - began
                event = CallObserved(script=script.name, node="memory", outcome=outcome, seconds=seconds, tries=1)
                notify(self.observe, event)

    def _ping(self) -> float:
        if self._answer is _closed:
            raise Closed("the coordinator is closed")
        began = self.clock.monotonic()
        self.space.call(Keyspace.exists, "")
        return self.clock.monotonic() - began

    @property
    def notifier(self) -> Notifier:
        """The notifier of the keyspace; a child of a fork has its own."""
        return self.space.notifier

    def _answers(self, calls: Iterable[Call[Any]]) -> list[Any]:
        answers: list[Any] = []
        for call in calls:
            try:
                answers.append(self._answer(*call))
            except Exception as error:
                answers.append(error)
        return answers


class Memory(_Memory):
    """Makes calls in this process."""

    def __init__(self, space: Keyspace, clock: Clock = SYSTEM, observe: Observe | None = None) -> None:
        super().__init__(space, clock, observe)
        self.call = self._answer

    def run_many(self, calls: Iterable[Call[Any]], within: float | None = None, /) -> list[Any]:
        """Make calls and return a result or an error for each, in order; they take no time worth limiting."""
        return self._answers(calls)

    def awaited(self) -> AsyncMemory:
        """Return what makes calls on the same keyspace in an event loop."""
        return AsyncMemory(self.space, self.clock, self.observe)

    def ping(self) -> float:
        """Return the seconds of one look at the keyspace."""
        return self._ping()

    def close(self) -> None:
        """Refuse calls from now on; the keyspace stays for others of this process."""
        self.call = self._answer = _closed


class AsyncMemory(_Memory):
    """Makes calls in this process, for a caller who awaits them."""

    _calls = 0

    def __init__(self, space: Keyspace, clock: Clock = SYSTEM, observe: Observe | None = None) -> None:
        super().__init__(space, clock, observe)
        self._loop: asyncio.AbstractEventLoop | None = None

    async def call(
        self, script: Script, keys: tuple[str, ...], argv: tuple[str | int, ...], read: Callable[[Any], T]
    ) -> T:
        """Make a call and return its result."""
        if asyncio.get_running_loop() is not self._loop:
            self.check_loop()
        self._calls += 1
        if not self._calls % _CALLS_IN_A_ROW:
            # A loop that asks again and again lets others have a turn, as it would on a server.
            await asyncio.sleep(0)
        result: T = self._answer(script, keys, argv, read)
        return result

    async def run_many(self, calls: Iterable[Call[Any]], within: float | None = None, /) -> list[Any]:
        """Make calls and return a result or an error for each, in order; they take no time worth limiting."""
        self.check_loop()
        return self._answers(calls)

    async def ping(self) -> float:
        """Return the seconds of one look at the keyspace."""
        self.check_loop()
        return self._ping()

    def check_loop(self) -> None:
        """Raise ``ConfigError`` in another event loop than that of the first call, as servers do."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        check_loop(self._loop)

    async def aclose(self) -> None:
        """Refuse calls from now on; the keyspace stays for others of this process."""
        self.check_loop()
        self._answer = _closed
