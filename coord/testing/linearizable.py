"""Did it look as if each operation had happened at one moment? A checker for recorded histories.

    history = record(c)                       # from now on, what the coordinator's callers ask and are told
    ...                                       # threads, tasks, faults
    assert judge(history) == "ok"

A history is linearizable if its operations can be put in one order that agrees with what every caller was told, and in
which none comes before another that had ended when it began. An operation whose outcome is unknown may have happened
at any moment after it began, or never. The law that says what each operation answers is coord's own: the twin of its
script, run over a ``Keyspace``.

Entities do not touch each other, so each is judged by itself. The search is that of Wing and Gong with Lowe's memory of
what was tried (G. Lowe, "Testing for linearizability", 2017): it takes back the last step when it is stuck, and
never tries the same set of operations in the same state twice.
"""

from __future__ import annotations

import math
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar

from coord.clock import SYSTEM
from coord.coordinator import AsyncCoordinator, Coordinator
from coord.errors import OutcomeUnknown, ReplyError
from coord.ids import with_id
from coord.memory.keyspace import Keyspace
from coord.script import Script

__all__ = ["History", "Operation", "Verdict", "check_history", "judge_entity", "record"]

T = TypeVar("T")

Verdict = Literal["ok", "illegal", "unknown"]
"""``unknown``: the search was given up before it had an answer."""

State = tuple[int, tuple[tuple[str, str], ...]]
"""The clock, in microseconds, and what the keys hold."""

_STEPS = 2_000_000


@dataclass(frozen=True, slots=True)
class Operation:
    """One call of a script: when it began and ended, what was asked, and what was answered.

    ``ended`` is infinity, and ``reply`` None, when nobody knows what came of it.
    """

    script: Script
    keys: tuple[str, ...]
    argv: tuple[str | int, ...]
    began: float
    ended: float = math.inf
    reply: Any = None

    @property
    def is_known(self) -> bool:
        """Whether an answer came."""
        return self.ended < math.inf


class History:
    """Operations, in the order in which they were recorded; threads and tasks may record at once."""

    def __init__(self, operations: Iterable[Operation] = ()) -> None:
        self._lock = threading.Lock()
        self.operations = list(operations)

    def __len__(self) -> int:
        return len(self.operations)

    def add(self, operation: Operation) -> None:
        """Record an operation."""
        with self._lock:
            self.operations.append(operation)


# --- recording -----------------------------------------------------------------------------------


def record(c: Coordinator | AsyncCoordinator) -> History:
    """Record, from now on, every call that a coordinator makes one by one; those of ``run_many`` are not."""
    history = History()
    runner: Any = c._runner
    recording: Any = _Recording(runner, history) if isinstance(c, Coordinator) else _AsyncRecording(runner, history)
    c._runner, c.call = recording, recording.call
    return history


class _Recording:
    """A backend that notes what it is asked and what it answers."""

    def __init__(self, runner: Any, history: History) -> None:
        self._runner = runner
        self._history = history

    def __getattr__(self, name: str) -> Any:
        return getattr(self._runner, name)

    def call(self, script: Script, keys: tuple[str, ...], argv: tuple[str | int, ...], read: Callable[[Any], T]) -> T:
        """Make a call and note it."""
        note = _Note(self._history, script, with_id(script, keys, argv), argv)
        try:
            result: T = self._runner.call(script, keys, argv, note.reading(read))
        except (OutcomeUnknown, KeyboardInterrupt):
            note.unknown()
            raise
        return result


class _AsyncRecording(_Recording):
    """The same, awaited."""

    async def call(  # type: ignore[override]  # the awaited world's own
        self, script: Script, keys: tuple[str, ...], argv: tuple[str | int, ...], read: Callable[[Any], T]
    ) -> T:
        """Make a call and note it."""
        note = _Note(self._history, script, with_id(script, keys, argv), argv)
        try:
            result: T = await self._runner.call(script, keys, argv, note.reading(read))
        except Exception as error:
            if isinstance(error, OutcomeUnknown):
                note.unknown()
            raise
        except BaseException:
            # Cancelled: it may have been sent.
            note.unknown()
            raise
        return result


class _Note:
    """One operation that has begun."""

    def __init__(self, history: History, script: Script, keys: tuple[str, ...], argv: tuple[str | int, ...]) -> None:
        self._history = history
        self._operation = Operation(script, keys, argv, SYSTEM.monotonic())

    def reading(self, read: Callable[[Any], T]) -> Callable[[Any], T]:
        """Note the reply when it is read."""

        def noted(reply: Any) -> T:
            self._history.add(replace(self._operation, ended=SYSTEM.monotonic(), reply=reply))
            return read(reply)

        return noted

    def unknown(self) -> None:
        """Note that no answer came."""
        self._history.add(self._operation)


# --- judging -------------------------------------------------------------------------------------


def check_history(history: History, steps: int = _STEPS) -> Verdict:
    """Say whether a history is linearizable; ``steps`` bounds the search for each entity.

    Keys are taken to hold nothing before, and to live through it: use TTLs longer than the recording.
    """
    entities: dict[str, list[Operation]] = defaultdict(list)
    for operation in history.operations:
        entities[operation.keys[0]].append(operation)
    verdicts = {judge_entity(operations, steps) for operations in entities.values()}
    if "illegal" in verdicts:
        return "illegal"
    return "unknown" if "unknown" in verdicts else "ok"


def judge_entity(operations: Iterable[Operation], steps: int = _STEPS) -> Verdict:
    """Judge the operations on one entity."""
    return _Search(sorted(operations, key=lambda operation: operation.began), steps).verdict()


class _Event:
    """The beginning or the end of an operation, in a list from which it is taken out and put back."""

    __slots__ = ("after", "before", "end", "number")

    def __init__(self, number: int) -> None:
        self.number = number
        self.end: _Event | None = None
        self.before: _Event
        self.after: _Event | None = None

    def lift(self) -> None:
        """Take a beginning and its end out of the list."""
        for event in (self, self.end):
            if event is not None:
                event.before.after = event.after
                if event.after is not None:
                    event.after.before = event.before

    def unlift(self) -> None:
        """Put them back where they were."""
        for event in (self.end, self):
            if event is not None:
                event.before.after = event
                if event.after is not None:
                    event.after.before = event


class _Search:
    """A walk through the orders in which the operations can have happened."""

    def __init__(self, operations: list[Operation], steps: int) -> None:
        self._operations = operations
        self._steps = steps
        self._law = _Law(operations)
        self._head = _events(operations)
        self._ends = sum(operation.is_known for operation in operations)

    def verdict(self) -> Verdict:
        """Walk until all operations that ended are in order, or nothing is left to try."""
        state: State = (0, ())
        done = 0
        left = self._ends
        tried: set[tuple[int, State]] = set()
        path: list[tuple[_Event, State]] = []
        event = self._head.after
        while left:
            self._steps -= 1
            if not self._steps:
                return "unknown"
            following = self._following(event, done, state)
            if (
                event is not None
                and following is not None
                and (now := (done | 1 << event.number, following)) not in tried
            ):
                tried.add(now)
                path.append((event, state))
                done, state = now
                left -= self._operations[event.number].is_known
                event.lift()
                event = self._head.after
            elif event is not None and self._is_beginning(event):
                event = event.after
            elif path:
                # An operation has ended, and nothing that began before can come next: take the last step back.
                event, state = path.pop()
                done &= ~(1 << event.number)
                left += self._operations[event.number].is_known
                event.unlift()
                event = event.after
            else:
                return "illegal"
        return "ok"

    def _is_beginning(self, event: _Event) -> bool:
        return event.end is not None or not self._operations[event.number].is_known

    def _following(self, event: _Event | None, done: int, state: State) -> State | None:
        """The state after an operation that happens now; None when it cannot."""
        if event is None or not self._is_beginning(event):
            return None
        return self._law.after(event.number, done, state)


def _events(operations: list[Operation]) -> _Event:
    """The beginnings and ends in the order of time, behind a head; at the same time, beginnings come first."""
    moments: list[tuple[float, int, int, _Event]] = []
    for number, operation in enumerate(operations):
        beginning = _Event(number)
        moments.append((operation.began, 0, number, beginning))
        if operation.is_known:
            beginning.end = _Event(number)
            moments.append((operation.ended, 1, number, beginning.end))
    head = last = _Event(-1)
    for *_, event in sorted(moments, key=lambda moment: moment[:3]):
        last.after, event.before = event, last
        last = event
    return head


# --- the law -------------------------------------------------------------------------------------

_TIMED = {"claim": 3, "holder": 2}
"""Where a reply tells milliseconds left, which a history without a clock cannot check."""


class _Law:
    """What the twins say.

    A fence or a version is at least the server's clock. A history does not tell what that clock showed, so the answer
    itself is taken for the moment at which it was given; the clock never goes back from one operation to the next.
    """

    def __init__(self, operations: list[Operation]) -> None:
        self._operations = operations
        self._space = Keyspace(lambda: self._now)
        self._now = 0
        self._mentions: dict[str, int] = defaultdict(int)
        for number, operation in enumerate(operations):
            for key in operation.keys[1:]:
                self._mentions[key] |= 1 << number
        self._seen = _fences_seen(operations)

    def after(self, number: int, done: int, state: State) -> State | None:
        """The state after an operation; None when it would have been answered otherwise."""
        operation = self._operations[number]
        now, entries = state
        self._now = max(now, self._moment(operation))
        self._space.flush()
        for key, value in entries:
            self._space.call(Keyspace.set, key, value)
        try:
            reply = self._space.call(_twin(operation.script), *operation.keys, *operation.argv)
        except ReplyError:
            return None
        if operation.is_known and _timeless(operation, reply) != _timeless(operation, operation.reply):
            return None
        return self._now, self._kept(done | 1 << number)

    def _kept(self, done: int) -> tuple[tuple[str, str], ...]:
        """What the keys hold now, without those that no operation to come asks for."""
        held = self._space.dump().items()
        return tuple(
            sorted(
                (key, value) for key, (_, value, _) in held if key not in self._mentions or self._mentions[key] & ~done
            )
        )

    def _moment(self, operation: Operation) -> int:
        reply: Any = operation.reply
        match operation.script.name:
            case "claim":
                return int(reply[2]) if reply is not None else self._seen.get(str(operation.argv[1]), 0)
            case "bump":
                return int(reply) if reply is not None else 0
            case "bump_if_current":
                return int(reply[1]) if reply is not None and reply[0] == 1 else 0
            case _:
                return 0


def _twin(script: Script) -> Callable[..., Any]:
    if script.twin is None:
        raise TypeError(f"{script.file} has no twin: nothing says what it should have answered")
    return script.twin


def _fences_seen(operations: list[Operation]) -> dict[str, int]:
    """The fences of claims by their nonces, so that a claim without an answer is given the fence that others saw."""
    claims = [operation.reply for operation in operations if operation.script.name == "claim" and operation.is_known]
    return {str(nonce): int(fence) for granted, nonce, fence, _ in claims if granted}


def _timeless(operation: Operation, reply: Any) -> Any:
    place = _TIMED.get(operation.script.name)
    return [item for index, item in enumerate(reply) if index != place] if place is not None else reply
