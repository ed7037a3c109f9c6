"""Making calls by their twins: at once, in this process."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from coord.errors import ConfigError, ReplyError, script_failed
from coord.memory.keyspace import Keyspace
from coord.script import Call, Script

__all__ = ["AsyncMemory", "Memory", "keyspace"]

T = TypeVar("T")

_keyspaces: dict[str, Keyspace] = {}
_lock = threading.Lock()


def keyspace(name: str = "") -> Keyspace:
    """Return this process's keyspace of that name; blocking and async coordinators share it."""
    with _lock:
        return _keyspaces.setdefault(name, Keyspace())


class _Memory:
    """What the two worlds share: a keyspace, and how a call runs on it."""

    distributed = False
    remember_ms = 0
    publish = "PUBLISH"

    def __init__(self, space: Keyspace) -> None:
        self.space = space
        self.notices = space.notices
        self._call = space.call

    def __repr__(self) -> str:
        return f"memory, {len(self.space):,} keys"

    def _answers(self, calls: Iterable[Call[Any]]) -> list[Any]:
        answers: list[Any] = []
        for call in calls:
            try:
                answers.append(self._answer(*call))
            except Exception as error:
                answers.append(error)
        return answers

    def _answer(
        self, script: Script, keys: tuple[str, ...], argv: tuple[str | int, ...], read: Callable[[Any], T]
    ) -> T:
        if script.twin is None:
            raise ConfigError(f"{script.file}: the script has no twin, so it runs on servers only")
        try:
            return read(self._call(script.twin, *keys, *argv))
        except ReplyError as error:
            raise script_failed(script, str(error)) from None


class Memory(_Memory):
    """Makes calls in this process."""

    def call(self, script: Script, keys: tuple[str, ...], argv: tuple[str | int, ...], read: Callable[[Any], T]) -> T:
        """Make a call and return its result."""
        return self._answer(script, keys, argv, read)

    def run_many(self, calls: Iterable[Call[Any]], within: float | None = None, /) -> list[Any]:
        """Make calls and return an answer or an error for each, in order; they take no time worth limiting."""
        return self._answers(calls)

    def close(self) -> None:
        """Nothing is open; the keyspace stays for others of this process."""


class AsyncMemory(_Memory):
    """Makes calls in this process, for a caller who awaits them."""

    async def call(
        self, script: Script, keys: tuple[str, ...], argv: tuple[str | int, ...], read: Callable[[Any], T]
    ) -> T:
        """Make a call and return its result."""
        return self._answer(script, keys, argv, read)

    async def run_many(self, calls: Iterable[Call[Any]]) -> list[Any]:
        """Make calls and return an answer or an error for each, in order."""
        return self._answers(calls)

    async def aclose(self) -> None:
        """Nothing is open; the keyspace stays for others of this process."""
