"""Families: the operations on one kind of thing, written once for every mode.

A family is a class that is generic in the mode. It is made with a coordinator, or with its ``calls``; its operations
are functions that build a ``Call`` with ``self.ops``, decorated by ``op``. coord's own families are made in this way.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, TypeVar, cast

from coord.clock import SYSTEM, Clock
from coord.errors import ConfigError
from coord.ids import nonce
from coord.keys import Keys
from coord.modes import Build, InMode, M, Mode, Sync
from coord.names import Seconds
from coord.observe import Observe
from coord.script import Call, Script

__all__ = ["Calls", "Closes", "Family", "Runs", "family_of"]

T = TypeVar("T")

_KIND = re.compile(r"[a-z][a-z0-9_-]*").fullmatch
_families: dict[str, type[Family[Any]]] = {}


class Closes(Protocol):
    """Something that ends with its coordinator."""

    def close(self) -> None:
        """End it. May be called again."""
        ...


class Runs(InMode[M], Keys):
    """A coordinator, or its ``calls``: it names keys and makes calls, in one mode.

    ``publish`` is the command by which a server wakes waiters: PUBLISH, or SPUBLISH in a cluster of 7.0 and newer.
    ``attached`` is for families: what they keep for one coordinator, each under a key of its own; it is closed with
    the coordinator.
    """

    mode: type[Mode] = Sync
    publish = "PUBLISH"
    observe: Observe | None = None
    clock: Clock = SYSTEM
    """The clock that plans read and sleep by."""
    call_seconds = 15.0
    """Seconds that a call may take, its repetitions included: ``timeout`` + ``patience``."""
    nonce: Callable[[], str]
    call: Callable[..., Any]
    """``call(script, keys, argv, read)`` makes a call in this mode; ``read`` turns its reply into the result."""

    def __init__(self, prefix: str = "coord:", ttl: Seconds | None = 3600) -> None:
        super().__init__(prefix, ttl)
        self.nonce = nonce
        self.attached: dict[Any, Closes] = {}

    @property
    def calls(self) -> Calls:
        """The operations as values, with the same prefix and TTL."""
        raise NotImplementedError


class Calls(Runs[Build]):
    """Build mode: calls are values, to be collected, looked at, and made later or many at a time."""

    mode: type[Mode] = Build

    @property
    def calls(self) -> Calls:
        """Return the object itself."""
        return self

    def call(
        self, script: Script, keys: tuple[str, ...], argv: tuple[str | int, ...], read: Callable[[Any], T], /
    ) -> Call[T]:
        """Return the call."""
        return Call(script, keys, argv, read)


class Family(InMode[M], Generic[M]):
    """The operations on one kind of thing, in the mode of the coordinator that it is made with.

    ``ops`` names keys and makes calls. It is typed for build mode, in which operations are written; in the other modes
    the coordinator itself takes its place.

    ``class Tokens(Family[M], kind="tokens", reader="status")`` has ``coord ls``, ``show`` and ``watch`` read what is
    at ``coord:tokens:{name}`` with ``Tokens(c, name).status()``. A reader takes no arguments and changes nothing; its
    result is None where nothing exists, otherwise a dataclass, a named tuple, a mapping, a list or one value.
    """

    kind: ClassVar[str] = ""
    reader: ClassVar[str] = ""

    def __init_subclass__(cls, *, kind: str = "", reader: str = "", **rest: Any) -> None:
        super().__init_subclass__(**rest)
        if not kind and not reader:
            return
        if not _KIND(kind) or not callable(getattr(cls, reader, None)):
            raise ConfigError(
                f"{cls.__name__} needs a kind of lower-case letters, digits, - and _, and the name of the operation "
                f"that reads it, not kind={kind!r} and reader={reader!r}"
            )
        cls.kind, cls.reader = kind, reader
        _families[kind] = cls

    def __init__(self, c: Runs[M]) -> None:
        self.ops = cast("Calls", c)

    def __repr__(self) -> str:
        name = getattr(self, "name", getattr(self, "id", None))
        return f"<{type(self).__name__}{'' if name is None else f' {name!r}'}>"

    if not TYPE_CHECKING:
        # ``InMode`` has the types.
        def follow(self, plan: Any, /) -> Any:
            """Follow a plan with the coordinator: return its result, or in async mode an awaitable of it."""
            return self.ops.follow(plan)


def family_of(kind: str) -> type[Family[Any]] | None:
    """Return the family that declared this kind; None if no imported module has one."""
    return _families.get(kind)
