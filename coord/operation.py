"""Operations: each one a function that builds a ``Call``, and a method of everything that can make one.

There are three worlds. ``Calls`` hands a call out as a value; ``coord.Coordinator`` makes it and returns the result;
``coord.AsyncCoordinator`` makes it and returns an awaitable. An operation is written once, for the first world::

    def bump(at: Calls, name: str) -> Call[int]:
        key = at.key("version", name)
        return at.call(BUMP, (key, ...), (...), int)

and ``bump = op(bump)`` in a class of any world is a method that is typed for that world.
What varies between the worlds is ``call`` alone.
"""

from __future__ import annotations

import re
import secrets
from collections import defaultdict
from collections.abc import Callable, Coroutine
from itertools import count
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, TypeVar, cast, overload

from coord.fork import register
from coord.names import Seconds, check_name, milliseconds, needs_no_escape, percent_encode
from coord.script import Call, Script

__all__ = [
    "Builds",
    "Calls",
    "Handle",
    "Naming",
    "Runs",
    "RunsAsync",
    "lifetime_ms",
    "new_owner_id",
    "nonce",
    "op",
    "wants_id",
    "with_id",
]

_KNOWN_AT_MOST = 1_024
"""Keys of one kind that a coordinator keeps made."""

_SLOT_ID = re.compile(r"(slot-[\w.-]{1,64})~(\d{1,18})").fullmatch
"""An operation id that a connection gave; the caller finds it in ``OutcomeUnknown.op_id``."""

P = ParamSpec("P")
T = TypeVar("T")


class Builds(Protocol):
    """A world in which a call is a value."""

    def make(self, call: Call[T], /) -> Call[T]:
        """Return the call itself."""
        ...


class Runs(Protocol):
    """A world in which making a call returns its result."""

    def make(self, call: Call[T], /) -> T:
        """Make the call and return its result."""
        ...


class RunsAsync(Protocol):
    """A world in which making a call returns an awaitable."""

    def make(self, call: Call[T], /) -> Coroutine[Any, Any, T]:
        """Make the call; await its result."""
        ...


class op(Generic[P, T]):
    """A function that builds a Call, as a method that makes it in its world.

    When the class is made, the function itself becomes the method: nothing stands between the two.
    """

    def __init__(self, build: Callable[Concatenate[Any, P], Call[T]]) -> None:
        self.build = build

    def __set_name__(self, new_owner_id: type, name: str) -> None:
        """Put the function in this descriptor's place."""
        setattr(new_owner_id, name, self.build)

    @overload
    def __get__(self, ops: Builds, kind: type) -> Callable[P, Call[T]]: ...
    @overload
    def __get__(self, ops: Runs, kind: type) -> Callable[P, T]: ...
    @overload
    def __get__(self, ops: RunsAsync, kind: type) -> Callable[P, Coroutine[Any, Any, T]]: ...
    def __get__(self, ops: Any, kind: type) -> Any:
        """Only type checkers come here; see ``__set_name__``."""
        return self.build


class Naming:
    """What every world shares: how keys are named, how long things live, what is remembered.

    Every key starts with ``prefix``. ``ttl`` is the lifetime in seconds of entities without one of their own;
    None: they never expire. ``remember_ms`` is how long a server remembers the operation id that coord gives to a call
    whose reply may be lost; 0: it gives none. ``has_slots``: the connection names that id. ``publish`` is the command
    by which a server tells its waiters.
    """

    publish = "PUBLISH"
    remember_ms = 0
    has_slots = False
    nonce: Callable[[], str]
    tombstone_ms = 60_000
    """How long a released claim's nonce stays refused: far longer than any repetition of a call."""

    def __init__(self, prefix: str = "coord:", ttl: Seconds | None = 3600) -> None:
        self.prefix = plain_prefix(prefix)
        self.ttl_ms = lifetime_ms(ttl)
        self.nonce = nonce
        # Most names are used more than once, and reading a name through costs as much as finding its window.
        self._keys: defaultdict[str, dict[str, str]] = defaultdict(dict)

    def key(self, kind: str, name: str) -> str:
        """Return the key of an entity: prefix, kind, and the name as hash tag."""
        known = self._keys[kind]
        try:
            key = known.get(name)
        except TypeError:
            # What cannot be a key of a dict is no str: ``percent_encode`` says so.
            key = None
        if key is None:
            if name.__class__ is str and needs_no_escape(name):
                # What ``percent_encode`` would do, without the call: most names come through here.
                key = f"{self.prefix}{kind}:{{{name.replace(':', '%3A')}}}"
            else:
                key = f"{self.prefix}{kind}:{{{percent_encode(name)}}}"
            if len(known) >= _KNOWN_AT_MOST:
                known.clear()
            known[name] = key
        return key

    def lifetime(self, ttl: Seconds | None) -> int:
        """Return a TTL in milliseconds, the default when it is None; 0: it never expires."""
        return self.ttl_ms if ttl is None else milliseconds(ttl)

    def remembered(self, key: str, op_id: str | None = None, window_ms: int = 0) -> tuple[str, int, int]:
        """Return the key under which an operation's answer is remembered, its turn there, and for how long.

        An id given by the caller is remembered for ``window_ms``. Otherwise a server whose reply may be lost is
        given an id for ``remember_ms``; 0: nothing is remembered. The id is new, for this call alone, or, where a
        connection has a seat for the call, left open: see ``coord.redis.slots``.
        """
        if op_id is not None:
            slot, sequence = slot_and_sequence(op_id)
            return f"{key}:op:{slot}", sequence, window_ms
        if self.remember_ms and not self.has_slots:
            return f"{key}:op:{nonce()}", 0, self.remember_ms
        return f"{key}:op:", 0, self.remember_ms


def wants_id(script: Script, keys: tuple[str, ...], argv: tuple[str | int, ...]) -> bool:
    """Whether an operation id was left open for the connection, or whoever sends the call, to name."""
    return script.sequence_at >= 0 and bool(argv[script.sequence_at + 1]) and keys[1][-1] == ":"


def with_id(script: Script, keys: tuple[str, ...], argv: tuple[str | int, ...]) -> tuple[str, ...]:
    """Return the keys of a call with an id for this call alone, if it was left open."""
    return (keys[0], f"{keys[1]}{nonce()}") if wants_id(script, keys, argv) else keys


def slot_and_sequence(op_id: str) -> tuple[str, int]:
    """Return what stands in a key for an operation id, and the turn: that of ``OutcomeUnknown.op_id``, or 0."""
    found = _SLOT_ID(op_id) if isinstance(op_id, str) else None
    return (found[1], int(found[2])) if found else (percent_encode(op_id, "op_id"), 0)


class Calls(Naming):
    """The world in which calls are values: to be collected, looked at, and made later or many at a time."""

    @property
    def calls(self) -> Calls:
        """The operations as values: these."""
        return self

    def make(self, call: Call[T]) -> Call[T]:
        """Return the call itself."""
        return call

    def call(
        self, script: Script, keys: tuple[str, ...], argv: tuple[str | int, ...], read: Callable[[Any], T]
    ) -> Call[T]:
        """Make a call of a script; ``read`` turns its reply into the result."""
        return Call(script, keys, argv, read)


class Handle:
    """Operations on one named thing, in the world of the coordinator that it came from."""

    def __init__(self, ops: object) -> None:
        # An operation is written for the world of values; every other world stands in for it.
        self.ops = cast("Calls", ops)


def plain_prefix(prefix: str) -> str:
    """Return ``prefix`` if it can open a key: text of at most 1,024 bytes, without braces."""
    if not isinstance(prefix, str):
        raise TypeError(f"prefix is a str, not {type(prefix).__name__}")
    if "{" in prefix or "}" in prefix:
        raise ValueError(f"prefix has no braces, which would move the hash tag of every key: {prefix!r}")
    return check_name(prefix, "prefix") if prefix else prefix


def lifetime_ms(ttl: Seconds | None) -> int:
    """Return a TTL in milliseconds; 0 when it is None: no end."""
    return 0 if ttl is None else milliseconds(ttl)


# --- ids -----------------------------------------------------------------------------------------
# A random start and a count: unique everywhere, and a tenth of the cost of fresh random bytes for each.


class _Ids:
    """Ids of this process; a child of a fork begins anew."""

    nonce: Callable[[], str]
    new_owner_id: Callable[[], str]

    def __init__(self) -> None:
        self.reset_after_fork()
        register(self)

    def reset_after_fork(self) -> None:
        """Take a new start that no other process has."""
        # Mapped, so that no Python runs for an id.
        self.nonce = map(f"{secrets.token_urlsafe(12)}%d".__mod__, count(1)).__next__
        self.new_owner_id = map(f"{secrets.token_urlsafe(6)}-%d".__mod__, count(1)).__next__


_ids = _Ids()


def nonce() -> str:
    """Return an id for one attempt; nobody else can guess it."""
    return _ids.nonce()


def new_owner_id() -> str:
    """Return a name for an owner that has none; it says which process it belongs to, and it is no secret."""
    return _ids.new_owner_id()
