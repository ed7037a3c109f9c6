"""Groups: which instances are alive.

A member joins with metadata and stays for as long as its heartbeats arrive; one that dies is never listed after its
TTL, whichever instance reads first. Each membership has an incarnation: a member that comes back, or another process
that takes over its name, has a higher one.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any, overload

from coord.extend import (
    Async,
    AsyncChangesIterator,
    Call,
    Changes,
    ChangesIterator,
    Family,
    M,
    Runs,
    Seconds,
    Sync,
    check_name,
    milliseconds,
    op,
)
from coord.group.membership import AsyncJoining, AsyncMembership, Joining, Membership
from coord.group.scripts import Member, members, metadata_json

__all__ = ["AsyncMembership", "Group", "Member", "Membership"]


class Group(Family[M]):
    """The members of one group that are alive: ``join``, ``members``, ``changes``.

    ``ttl``: seconds that a member counts as alive after its last heartbeat.
    """

    def __init__(self, c: Runs[M], name: str, ttl: Seconds = 15) -> None:
        super().__init__(c)
        self.name = name
        self._key = self.ops.key("group", name)
        self._ttl_ms = milliseconds(ttl)

    @overload
    def join(self: Group[Sync], member: str | None = None, metadata: Any = None) -> Joining: ...
    @overload
    def join(self: Group[Async], member: str | None = None, metadata: Any = None) -> AsyncJoining: ...
    def join(self, member: str | None = None, metadata: Any = None) -> Any:
        """Be a member while a ``with`` block runs (``async with`` on an async coordinator).

        The block is given its ``Membership``. ``member``: a name; None: host, process and a number. ``metadata``: what
        others find in ``members()``, at most 64 KiB as JSON. Joining under the name of a living member takes the name
        over: its ``Membership.lost`` is set at its next heartbeat, and its leaving changes nothing. A member whose
        heartbeats did not arrive for ``ttl`` joins again by itself, under a new incarnation.
        """
        name = None if member is None else check_name(member, "member")
        c: Any = self.ops
        joining = AsyncJoining if c.mode is Async else Joining
        return joining(c, self._key, self._ttl_ms, name, metadata_json(metadata))

    @op
    def members(self) -> Call[list[Member]]:
        """Return the members that are alive, sorted by name.

        The server reads all members and their metadata in one step.
        """
        return members(self.ops, self._key)

    @overload
    def changes(self: Group[Sync]) -> Iterator[list[Member]]: ...
    @overload
    def changes(self: Group[Async]) -> AsyncIterator[list[Member]]: ...
    def changes(self) -> Any:
        """Iterate over what ``members()`` returns: the present members first, then again whenever they have changed.

        A heartbeat is not a change. A slow consumer may skip states in between, but never misses the last one. While
        the server is unreachable it waits, and logs it once. It ends when the coordinator is closed.
        """
        c: Any = self.ops
        calls = c.calls
        watch = Changes(c, self._key, lambda: members(calls, self._key), _essence, _due)
        return AsyncChangesIterator(c, watch) if c.mode is Async else ChangesIterator(c, watch)


def _essence(found: list[Member]) -> list[Any]:
    """Return what does not change by a heartbeat."""
    return [(each.member, each.incarnation) for each in found]


def _due(found: list[Member]) -> float | None:
    """Return the seconds after which the first of them may lapse."""
    return min((each.expires_in for each in found), default=None)
