"""Sides in this process: the twins, and the Lua run by lupa."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Sequence
from typing import Any

from coord.errors import CoordError, ReplyError
from coord.memory import Keyspace
from coord.notifier import Notifier
from coord.script import Script
from coord.testing.agreement.compare import Agreeing, Answer, Failed, Stored, Word
from coord.testing.clock import Clock

__all__ = ["Agreeing", "LuaSide", "TwinSide"]

_BEHIND = re.compile(r",? script: [0-9a-f]{40}(, on @user_script:\d+\.)?$")

LONG = 5_000
"""Lists above this size are compared by their length and their ends."""


class _Recorder(Notifier):
    """A notifier that somebody waits on, whatever the channel."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[str] = []

    def __contains__(self, channel: str) -> bool:
        return True

    def notify(self, channel: str) -> None:
        self.heard.append(channel)
        super().notify(channel)


class _InProcess:
    unit_us = 1
    slack_ms = 0
    exact_below_ms: int | None = None
    lacks: frozenset[str] = frozenset()

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._notifier = _Recorder()
        self.space = self._new_space()

    def _new_space(self) -> Keyspace:
        clock = self._clock
        space = Keyspace(lambda: clock.now_us)
        space.notifier = self._notifier
        return space

    def begin(self) -> None:
        """Forget all keys. One keyspace for all histories: making an interpreter takes longer than a history."""
        self.space.flush()

    def _run(self, script: Script, keys: Sequence[str], argv: Sequence[Word]) -> None:
        self._notifier.heard.clear()
        self._reply = reply_of(self.space, script, keys, argv)

    def answer(self) -> Answer:
        """Return what it answered, all keys, and the notices."""
        return Answer(self._reply, shortened(self.space.dump()), tuple(self._notifier.heard))


class TwinSide(_InProcess):
    """Memory: twins, and the Lua of scripts that have none, by lupa; all others are compared with it."""

    name = "the twin"

    def ask(self, script: Script, keys: Sequence[str], argv: Sequence[Word]) -> None:
        """Run the script as ``memory://`` does."""
        self._run(script, keys, argv)


class LuaSide(_InProcess):
    """The Lua of the scripts, run by lupa on a keyspace of its own: no server is needed."""

    name = "lupa"

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self._without_twins: dict[Script, Script] = {}

    def ask(self, script: Script, keys: Sequence[str], argv: Sequence[Word]) -> None:
        """Run the script's Lua."""
        alone = self._without_twins.get(script)
        if alone is None:
            alone = self._without_twins[script] = copy.copy(script)
            alone.twin = None
        self._run(alone, keys, argv)


def reply_of(space: Keyspace, script: Script, keys: Sequence[str], argv: Sequence[Word]) -> Any:
    """Make a call as an operation does, and return its reply; an error reply as ``Failed``."""
    try:
        return space.answer(script, tuple(keys), tuple(argv), _as_it_is)
    except CoordError as error:
        if not isinstance(error.__context__, ReplyError):
            raise
        # Lua's errors end in the script's name and line, which each server words in its own way.
        return Failed(_BEHIND.sub("", str(error.__context__)), type(error))


_as_it_is: Callable[[Any], Any] = lambda reply: reply  # noqa: E731  # a def is not shorter


def shortened(stored: Stored) -> Stored:
    """Return what is stored with long lists replaced by length, first and last value."""
    for key, (kind, value, left) in stored.items():
        if kind == "list" and len(value) > LONG:
            stored[key] = (kind, [len(value), value[0], value[-1]], left)
    return stored
