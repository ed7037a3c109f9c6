"""Families: the operations on one kind of thing, written once for every mode.

A family is a class that is generic in the mode. It is made with a coordinator, or with its ``calls``; its operations
are functions that build a ``Call`` with ``self.ops``, decorated by ``op``. coord's own families are made in this way.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from coord.clock import SYSTEM, Clock
from coord.ids import nonce
from coord.keys import Keys
from coord.modes import Build, InMode, M
from coord.names import Seconds
from coord.script import Call, Script

__all__ = ["Calls", "Family", "Runs"]

T = TypeVar("T")


class Runs(InMode[M], Keys):
    """A coordinator, or its ``calls``: it names keys and makes calls, in one mode.

    ``publish`` is the command by which a server wakes waiters: PUBLISH, or SPUBLISH in a cluster of 7.0 and newer.
    """

    publish = "PUBLISH"
    clock: Clock = SYSTEM
    """Where plans read the time, and let it pass."""
    nonce: Callable[[], str]
    call: Callable[..., Any]
    """``call(script, keys, argv, read)`` makes a call in this mode; ``read`` turns its reply into the result."""

    def __init__(self, prefix: str = "coord:", ttl: Seconds | None = 3600) -> None:
        super().__init__(prefix, ttl)
        self.nonce = nonce

    @property
    def calls(self) -> Calls:
        """The operations as values, with the same prefix and TTL."""
        raise NotImplementedError


class Calls(Runs[Build]):
    """Build mode: calls are values, to be collected, looked at, and made later or many at a time."""

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
    """

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
