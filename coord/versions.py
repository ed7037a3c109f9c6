"""Versions: when many changes to one thing come in a row, only the newest matters.

``bump`` makes a new version; whoever works on an older one finds out with ``is_stale`` and stops.
A version grows strictly, also after its key has expired: it is never below the server's clock in microseconds,
so that an old message with an old version never looks newer than a new one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from coord.errors import ReplyError
from coord.family import Calls
from coord.lualib import first_answer, later, recall, remember, whole
from coord.names import Seconds, int64
from coord.script import Call, load

if TYPE_CHECKING:
    from coord.memory import Keyspace

__all__ = ["Bump", "bump", "bump_if_current", "is_stale", "version"]


class Bump(NamedTuple):
    """What ``bump_if_current`` did: whether it made a new version, and the newest one now."""

    bumped: bool
    version: int


def bump(ops: Calls, name: str, *, ttl: Seconds | None = None) -> Call[int]:
    """Make a new version of ``name``, above every one before, and return it.

    ``ttl``: seconds that it is kept from now on; None: the coordinator's default.
    """
    key = ops.key("version", name)
    op, sequence, remember_ms = ops.remembered(key)
    return ops.call(BUMP, (key, op), (ops.lifetime(ttl), sequence, remember_ms), int)


def bump_if_current(ops: Calls, name: str, version: int, *, ttl: Seconds | None = None) -> Call[Bump]:
    """Make a new version of ``name`` if ``version`` is the newest one; 0 stands for none.

    Comparing and bumping are one atomic step: of many who know the same version, one wins.
    """
    key = ops.key("version", name)
    op, sequence, remember_ms = ops.remembered(key)
    known = int64(version, "version")
    if known < 0:
        raise ValueError(f"version is {known}: the first one is above 0, and 0 stands for none")
    return ops.call(BUMP_IF_CURRENT, (key, op), (known, ops.lifetime(ttl), sequence, remember_ms), _read_bump)


def version(ops: Calls, name: str) -> Call[int]:
    """Return the newest version of ``name``; 0 when there is none."""
    return ops.call(VERSION, (ops.key("version", name),), (), int)


def is_stale(ops: Calls, name: str, version: int) -> Call[bool]:
    """Return whether a newer version of ``name`` than ``version`` exists.

    False for an empty name or a version of 0 or less: what has no version is never stale.
    """
    known = int64(version, "version")
    key = ops.key("version", name) if name != "" else f"{ops.prefix}version:{{}}"
    return ops.call(VERSION, (key,), (), lambda newest: int(newest) > known > 0)


def _read_bump(reply: list[object]) -> Bump:
    return Bump(reply[0] == 1, int(str(reply[1])))


# --- twins ---------------------------------------------------------------------------------------


def _bump(space: Keyspace, version: str, op: str, ttl_ms: int, sequence: int, remember_ms: int) -> str:
    newest = later(space, _newest(space, version))
    answered = first_answer(space, op, sequence, remember_ms, newest)
    if answered is not None:
        return answered
    space.set(version, newest, px=ttl_ms or None)
    return newest


def _bump_if_current(
    space: Keyspace, version: str, op: str, known: int, ttl_ms: int, sequence: int, remember_ms: int
) -> list[int | str]:
    answered = recall(space, op, sequence, remember_ms)
    if answered is not None:
        return [1, answered]
    newest = _newest(space, version)
    if (newest or "0") != str(known):
        return [0, newest or "0"]
    newest = later(space, newest)
    space.set(version, newest, px=ttl_ms or None)
    remember(space, op, sequence, remember_ms, newest)
    return [1, newest]


def _version(space: Keyspace, version: str) -> str:
    return _newest(space, version) or "0"


def _newest(space: Keyspace, version: str) -> str | None:
    newest = space.get(version)
    if newest is not None and not whole(newest):
        raise ReplyError("COORD_CORRUPT this version was not written by coord")
    return newest


BUMP = load("bump", _bump)
BUMP_IF_CURRENT = load("bump_if_current", _bump_if_current)
VERSION = load("version", _version)
