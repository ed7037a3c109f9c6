"""The part of Redis's data model that scripts use, in this process.

Methods bear the names of Redis's commands and answer what Redis answers a script, so that a twin and its Lua are
read side by side. Values are ``str``; error replies are raised as ``ReplyError`` with Redis's own texts.
The commands mean what https://redis.io/docs/latest/commands/ says under their names.
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

from coord.clock import monotonic_ns, time_ns
from coord.errors import ReplyError, Unavailable
from coord.fork import register
from coord.memory.bitmaps import Bitmaps
from coord.memory.command import COMMANDS, NONE, OK, RANDOM, Status, command
from coord.memory.entries import Entry, plain
from coord.memory.hashes import Hashes
from coord.memory.lists import Lists
from coord.memory.lua import LuaEngine
from coord.memory.parse import Word, text, wrong_arity
from coord.memory.sets import Sets
from coord.memory.sorted_sets import SortedSets
from coord.memory.streams import Streams
from coord.memory.values import SortedSet
from coord.notifier import Notifier
from coord.script import Script, script_failed

__all__ = ["Entry", "Keyspace", "SortedSet"]

T = TypeVar("T")

_left: list[LuaEngine] = []
"""Interpreters of a parent process."""

_REENTERED = (
    "memory://: a call was made while another one of this thread was half done, by a signal handler, by __del__ or by "
    "a twin; nothing happened. Set a flag or an event there, and make the call from the main flow"
)


class Keyspace(Bitmaps, Hashes, Sets, Lists, SortedSets, Streams):
    """Keys, values and deadlines of one ``memory://`` name.

    ``call`` runs one twin at a time, atomically, at one moment of the clock; the commands are for use inside it.
    ``clock`` answers microseconds; tests hand in their own. Without one it is the wall's time at the start, and the
    monotonic clock's from there on.
    """

    def __init__(self, clock: Callable[[], int] | None = None) -> None:
        super().__init__()
        self._clock = monotonic_ns if clock is None else lambda: clock() * 1000
        self._start_ms = 0 if clock else time_ns() // 1_000_000 - monotonic_ns() // 1_000_000
        # A clock of a test may move at any time: every call reads it.
        self._may_skip = clock is None
        # Reentrant, so that a call from inside a call is refused instead of waiting for itself.
        self._lock = threading.RLock()
        self._running = False
        self._next_ms = 0
        self._lua: LuaEngine | None = None
        self.notifier = Notifier()
        self._published: deque[str] = deque()
        register(self)

    def call(self, twin: Callable[..., Any], *words: Any) -> Any:
        """Run ``twin(self, *words)`` atomically and return its reply.

        Raises ``Unavailable`` when this thread is inside another call: see ``answer``.
        """
        try:
            with self._lock:
                if self._running:
                    raise Unavailable(_REENTERED)
                try:
                    self._running = True
                    self._ns = ns = self._clock()
                    if ns >= self._next_ms:
                        self._turn()
                    return twin(self, *words)
                finally:
                    self._running = False
        finally:
            if self._published:
                self._deliver()

    def answer(self, script: Script, keys: tuple[str, ...], argv: tuple[str | int, ...], read: Callable[[Any], T]) -> T:
        """Make a call by its script's twin, and return its result.

        Raises ``Unavailable``, and changes nothing, when a signal handler or ``__del__`` interrupted another call of
        this thread: the state is half changed, and the other call cannot go on before this one has returned.
        """
        if script.checks_calls:
            script.check(keys, argv)
        twin = script.twin
        if twin is None:
            return read(self._by_lua(script, keys, argv))
        lock = self._lock
        try:
            # As in ``call``, written out: every operation comes through here. A ``with`` takes an eighth of the time
            # of ``once``; interrupted in ``acquire``, this thread has not got the lock, and ``release`` says so.
            lock.acquire()
            if self._running:
                raise Unavailable(_REENTERED)
            try:
                self._running = True
                self._ns = ns = self._clock()
                if ns >= self._next_ms:
                    self._turn()
                if len(argv) == 6 and len(keys) == 2:
                    # As ``once`` has, the most frequent call.
                    one, two = keys
                    a, b, c, d, e, f = argv
                    reply = twin(self, one, two, a, b, c, d, e, f)
                else:
                    reply = twin(*((self,) + keys + argv))  # noqa: RUF005  # a sixth faster than unpacking
            finally:
                self._running = False
        except ReplyError as error:
            raise script_failed(script, str(error)) from None
        finally:
            try:  # noqa: SIM105  # costs nothing
                lock.release()
            except RuntimeError:
                pass
            if self._published:
                self._deliver()
        return read(reply)

    def _by_lua(self, script: Script, keys: tuple[str, ...], argv: tuple[str | int, ...]) -> Any:
        try:
            return self.call(Keyspace.run_lua, script, keys, argv)
        except ReplyError as error:
            raise script_failed(script, str(error)) from None

    def run_lua(self, script: Script, keys: Sequence[str], argv: Sequence[str | int]) -> Any:
        """Run a script's Lua instead of its twin, and return its reply; for use inside ``call``.

        Raises ``ConfigError`` without lupa. What a script wrote before an error stays, as on a server.
        """
        if self._lua is None:
            self._lua = LuaEngine(self)
        return self._lua.run(script, keys, argv)

    def _turn(self) -> None:
        """The millisecond is another: take it, and clear away a little of what is past; the lock is held."""
        ms = self._ns // 1_000_000
        self._now = now = ms + self._start_ms
        if now >= self._sweep_at:
            self._sweep()
        # While there is more to clear away, every call takes its part.
        self._next_ms = (ms + 1) * 1_000_000 if self._may_skip and now < self._sweep_at else 0

    def reset_after_fork(self) -> None:
        """Take a new lock: another thread may have held the old one, and waiters stay in the parent."""
        self._lock = threading.RLock()
        self._running = False
        if self._lua is not None:
            # Another thread may have been inside it: it is not closed, and never used again.
            _left.append(self._lua)
            self._lua = None
        self.notifier = Notifier()

    def _deliver(self) -> None:
        """Wake the waiters after the lock is released, because they read the keyspace."""
        # Another thread may take the last one between a look and a taking.
        with contextlib.suppress(IndexError):
            while True:
                self.notifier.notify(self._published.popleft())

    # --- commands --------------------------------------------------------------------------------

    def execute(self, name: str, *words: Word) -> Any:
        """Run a command given in words, as it would be sent, and return its reply.

        A status reply is a ``Status``, which is a ``str``. Raises ``ReplyError``, also for a command that is missing.
        """
        found = COMMANDS.get(name.upper())
        if found is None:
            raise ReplyError(_missing(name))
        if not found.takes(words):
            raise wrong_arity(name.lower())
        reply = found.run(self, *map(text, words))
        if found.status:
            return OK if reply is None else Status(reply)
        return reply

    def time(self) -> tuple[int, int]:
        """Seconds and microseconds of the moment at which this call runs."""
        return divmod(self._ns // 1000 + self._start_ms * 1000, 1_000_000)

    @command(3, NONE)
    def publish(self, channel: str, _message: Word) -> int:
        """PUBLISH and SPUBLISH: wake the waiters of a channel once the twin has finished; always return 0."""
        if channel in self.notifier:
            self._published.append(channel)
        return 0

    @command(3, slice(1))
    def spublish(self, channel: str, message: Word) -> int:
        """SPUBLISH: here the same as ``publish``."""
        return self.publish(channel, message)

    @command(2, NONE)
    def echo(self, message: str) -> str:
        """Return the message."""
        return message

    # --- for the owner of the keyspace -----------------------------------------------------------

    def dump(self) -> dict[str, tuple[str, Any, int]]:
        """Return each live key's type, value and PTTL (-1: no deadline), as of now."""
        return cast("dict[str, tuple[str, Any, int]]", self.call(Keyspace._dump))

    def _dump(self) -> dict[str, tuple[str, Any, int]]:
        return {
            key: (self.type_(key), plain(entry[0]), self.pttl(key))
            for key, entry in list(self._entries.items())
            if self._live(key) is not None
        }

    def copy_from(self, other: Keyspace) -> None:
        """Hold what another keyspace holds, with the same deadlines, and nothing else."""
        self.call(Keyspace._restore, other.call(Keyspace._copied))

    def _copied(self) -> dict[str, Entry]:
        return {
            key: (value if isinstance(value, str) else value.copy(), deadline)
            for key, (value, deadline) in self._entries.items()
        }

    def _restore(self, entries: dict[str, Entry]) -> None:
        self._entries = entries
        self._register_anew()

    def flush(self) -> None:
        """Forget all keys."""
        self.call(Keyspace._flush)

    def _flush(self) -> None:
        self._entries.clear()
        self._unregister_all()


def _missing(name: str) -> str:
    if name.upper() in RANDOM:
        return f"ERR {name.upper()} draws at random, so memory:// and a server could not agree; it is refused"
    return f"ERR memory:// has no command '{name}'"
