"""Record what callers of a coordinator ask and are answered, with the moment of each answer by the server's clock."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterable
from copy import copy
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from coord.clock import SYSTEM
from coord.coordinator import AsyncCoordinator, Coordinator, runner_of
from coord.errors import Corrupt, CountOverflow, OutcomeUnknown, ScriptError, WrongType
from coord.ids import with_id
from coord.memory.keyspace import Keyspace
from coord.script import Call, Script, Twin

__all__ = ["ERROR", "History", "Operation", "record", "timed"]

T = TypeVar("T")

ERROR = "an error reply"
"""The ``reply`` of an operation whose script refused with an error and changed nothing."""

_REFUSED = (WrongType, Corrupt, CountOverflow)


@dataclass(frozen=True, slots=True)
class Operation:
    """One call of a script: when it began and ended, what was asked, and what was answered.

    ``began`` and ``ended``: seconds on the callers' clock; ``ended`` is infinity, and ``reply`` None, when no answer
    came. ``moment``: when the script ran, in microseconds by the server's clock; None: unknown.
    ``repeated``: whether the call was sent more than once.
    """

    script: Script
    keys: tuple[str, ...]
    argv: tuple[str | int, ...]
    began: float
    ended: float = math.inf
    reply: Any = None
    moment: int | None = None
    repeated: bool = False

    @property
    def is_known(self) -> bool:
        """Whether an answer came."""
        return self.ended < math.inf

    def __str__(self) -> str:
        what = f"{self.script.name}{self.keys[:1] + self.argv}"
        return f"{what} -> {self.reply!r}" if self.is_known else f"{what} without an answer"


class History:
    """Operations, in the order in which they were recorded; threads and tasks may record at once.

    Histories of several processes of one machine are put together with ``+``.
    """

    def __init__(self, operations: Iterable[Operation] = ()) -> None:
        self._lock = threading.Lock()
        self.operations = list(operations)

    def __len__(self) -> int:
        return len(self.operations)

    def __add__(self, other: History) -> History:
        return History(self.operations + other.operations)

    def add(self, operation: Operation) -> None:
        """Record an operation."""
        with self._lock:
            self.operations.append(operation)


def record(c: Coordinator | AsyncCoordinator) -> History:
    """Record, from now on, every call that a coordinator makes.

    Each script is sent in a form that answers the server's time together with its reply; the rest of the path is the
    one of production.
    """
    history = History()
    runner: Any = runner_of(c)
    if isinstance(c, Coordinator):
        _record(runner, _Recording(runner, history))
        # A grant that comes too late is given back in the background, which has a backend of its own.
        if (awaited := getattr(runner, "awaited", None)) is not None:
            runner.awaited = lambda: _record_awaited(awaited(), history)
    else:
        _record_awaited(runner, history)
    c.call = runner.call
    return history


def _record(runner: Any, recording: _Recording) -> Any:
    runner.call, runner.run_many = recording.call, recording.run_many
    return runner


def _record_awaited(runner: Any, history: History) -> Any:
    return None if runner is None else _record(runner, _AsyncRecording(runner, history))


# --- scripts that tell the time -------------------------------------------------------------------

_FIRST = "local moment, again = redis.call('TIME'), table.remove(ARGV, 1) {own}local function script() "
_LAST = """
end
local reply = script()
if type(reply) == 'table' and reply.err then return reply end
return {moment[1], moment[2], again, reply}
"""


def timed(script: Script) -> Script:
    """Return a script that answers the server's time, whether the call was sent again, and the reply of ``script``.

    It takes a word more, the first of ARGV, which says that the call is sent again: scripts that do not ask for that
    are recorded with it, too.
    """
    form = copy(script)
    own = script.repeated_at
    # Line numbers in errors stay true: nothing comes before the first line.
    told = f"if again == '1' then ARGV[{own + 1}] = '1' end " if own >= 0 else ""
    form.source = _FIRST.format(own=told) + script.source + _LAST
    form.checks_calls = False
    form.__dict__.pop("sha", None)
    places = {name: getattr(script, name) for name in ("remember_at", "sequence_at")}
    form.__dict__.update({name: at + 1 if at >= 0 else at for name, at in places.items()}, repeated_at=0)
    return form


def _timed_here(script: Script) -> Script:
    """Return the same for memory, where nothing is sent."""
    form = copy(script)
    form.checks_calls = False

    if script.twin is None:
        form.source = _FIRST.format(own="").replace("table.remove(ARGV, 1)", "'0'") + script.source + _LAST
    else:
        form.twin = _telling_time(script.twin)
    return form


def _telling_time(twin: Twin) -> Twin:
    def run(space: Keyspace, *words: Any) -> list[Any]:
        seconds, micros = space.time()
        return [seconds, micros, "0", twin(space, *words)]

    return run


# --- recording -----------------------------------------------------------------------------------


class _Recording:
    """A backend that notes what it is asked and what it answers."""

    def __init__(self, runner: Any, history: History) -> None:
        self._call, self._run_many = runner.call, runner.run_many
        self._is_sent: bool = runner.distributed
        self._history = history
        self._timed: dict[Script, Script] = {}

    def _note(self, script: Script, keys: tuple[str, ...], argv: tuple[str | int, ...]) -> _Note:
        form = self._timed.get(script)
        if form is None:
            form = self._timed[script] = (timed if self._is_sent else _timed_here)(script)
        if script.checks_calls:
            script.check(keys, argv)
        operation = Operation(script, with_id(script, keys, argv), argv, SYSTEM.monotonic())
        return _Note(self._history, form, ("0", *argv) if self._is_sent else argv, operation)

    def _notes(self, calls: Iterable[Call[Any]]) -> tuple[list[_Note], list[Call[Any]]]:
        calls = list(calls)
        notes = [self._note(call.script, call.keys, call.argv) for call in calls]
        forms = [
            call._replace(script=note.form, argv=note.argv, read=note.reading(call.read))
            for note, call in zip(notes, calls, strict=True)
        ]
        return notes, forms

    def call(self, script: Script, keys: tuple[str, ...], argv: tuple[str | int, ...], read: Callable[[Any], T]) -> T:
        """Make a call and note it."""
        note = self._note(script, keys, argv)
        try:
            result: T = self._call(note.form, keys, note.argv, note.reading(read))
        except BaseException as error:
            note.failed(error)
            raise
        return result

    def run_many(self, calls: Iterable[Call[Any]], within: float | None = None, /) -> list[Any]:
        """Make calls and note them."""
        notes, forms = self._notes(calls)
        answers: list[Any] = self._run_many(forms, within)
        _end(notes, answers)
        return answers


class _AsyncRecording(_Recording):
    """The same, awaited."""

    async def call(  # type: ignore[override]  # the awaited mode's own
        self, script: Script, keys: tuple[str, ...], argv: tuple[str | int, ...], read: Callable[[Any], T]
    ) -> T:
        """Make a call and note it."""
        note = self._note(script, keys, argv)
        try:
            result: T = await self._call(note.form, keys, note.argv, note.reading(read))
        except BaseException as error:
            note.failed(error)
            raise
        return result

    async def run_many(  # type: ignore[override]  # the awaited mode's own
        self, calls: Iterable[Call[Any]], within: float | None = None, /
    ) -> list[Any]:
        """Make calls and note them."""
        notes, forms = self._notes(calls)
        try:
            answers: list[Any] = await self._run_many(forms, within)
        except BaseException as error:
            for note in notes:
                note.failed(error)
            raise
        _end(notes, answers)
        return answers


def _end(notes: list[_Note], answers: list[Any]) -> None:
    for note, answer in zip(notes, answers, strict=True):
        if isinstance(answer, BaseException):
            note.failed(answer)


class _Note:
    """One operation that has begun."""

    def __init__(self, history: History, form: Script, argv: tuple[str | int, ...], operation: Operation) -> None:
        self.form = form
        self.argv = argv
        self._history = history
        self._operation = operation
        self._is_noted = False

    def reading(self, read: Callable[[Any], T]) -> Callable[[Any], T]:
        """Note the reply when it is read."""

        def noted(reply: Any) -> T:
            seconds, micros, repeated, *rest = reply
            answer = rest[0] if rest else None
            moment = int(seconds) * 1_000_000 + int(micros)
            self._add(reply=answer, moment=moment, repeated=str(repeated) == "1")
            return read(answer)

        return noted

    def failed(self, error: BaseException) -> None:
        """Note that an error came instead of an answer; nothing ran if it is one that says so."""
        if self._is_noted:
            return
        if isinstance(error, (*_REFUSED, *self._operation.script.errors.values())):
            self._add(reply=ERROR)
        elif isinstance(error, (OutcomeUnknown, ScriptError)) or not isinstance(error, Exception):
            # Cancelled or interrupted, too: it may have been sent, and may still be executed.
            self._history.add(self._operation)

    def _add(self, **told: Any) -> None:
        self._is_noted = True
        self._history.add(replace(self._operation, ended=SYSTEM.monotonic(), **told))
