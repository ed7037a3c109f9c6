"""Versions: when many changes to one thing come in a row, only the newest matters.

``bump`` makes a new version; work on an older one finds out with ``is_stale`` and stops.
A version grows strictly, also after its key has expired: it is never below the server's clock in microseconds,
so that an old message with an old version never looks newer than a new one.
"""

from __future__ import annotations

from typing import NamedTuple

from coord.extend import Call, Calls, Keyspace, ReplyError, Seconds, as_count, int64, load, reads, repeats, window_ms
from coord.lualib import first_answer, later, recall, refuse, remember, whole

__all__ = ["Bump", "bump", "bump_if_current", "is_stale", "version"]


class Bump(NamedTuple):
    """The answer of ``bump_if_current``: whether it made a new version, and the newest one now."""

    bumped: bool
    version: int


def bump(ops: Calls, name: str, *, ttl: Seconds | None = None, op_id: str | None = None) -> Call[int]:
    """Make a new version of ``name``, above every one before, and return it.

    ``ttl``: seconds that it is kept from now on; None: the coordinator's default. The same ``op_id`` again within that
    time (24 hours when it never expires) makes no new version, and returns the version that it made first.
    """
    key, ttl_ms = ops.key("version", name), ops.lifetime(ttl)
    op, sequence, remember_ms = ops.remembered(key, op_id, window_ms(ttl_ms))
    return ops.call(BUMP, (key, op), (ttl_ms, sequence, remember_ms), as_count)


def bump_if_current(
    ops: Calls, name: str, version: int, *, ttl: Seconds | None = None, op_id: str | None = None
) -> Call[Bump]:
    """Make a new version of ``name`` if ``version`` is the newest one; 0 stands for none.

    Comparing and bumping are one atomic step: of many callers that pass the same version, one wins.
    ``ttl`` and ``op_id`` as for ``bump``; the id of a call that made no version may be used again.
    """
    key, ttl_ms = ops.key("version", name), ops.lifetime(ttl)
    op, sequence, remember_ms = ops.remembered(key, op_id, window_ms(ttl_ms))
    known = int64(version, "version")
    if known < 0:
        raise ValueError(f"version is {known}: it must be one that bump returned, or 0 for none")
    argv = (known, ttl_ms, sequence, remember_ms, repeats(op_id))
    return ops.call(BUMP_IF_CURRENT, (key, op), argv, _read_bump)


def version(ops: Calls, name: str) -> Call[int]:
    """Return the newest version of ``name``; 0 when there is none."""
    return ops.call(VERSION, (ops.key("version", name),), (), as_count)


def is_stale(ops: Calls, name: str, version: int) -> Call[bool]:
    """Return whether a newer version of ``name`` than ``version`` exists.

    False for an empty name or a version of 0 or less, and for any version once the key has expired.
    """
    known = int64(version, "version")
    key = ops.key("version", name) if name != "" else f"{ops.prefix}version:{{}}"
    return ops.call(VERSION, (key,), (), lambda newest: as_count(newest) > known > 0)


@reads
def _read_bump(reply: list[object]) -> Bump:
    bumped, version = reply
    return Bump(bumped == 1, as_count(version))


# --- twins ---------------------------------------------------------------------------------------


def _bump(space: Keyspace, version: str, op: str, ttl_ms: int, sequence: int, remember_ms: int) -> str:
    newest = later(space, _newest(space, version))
    answered = first_answer(space, op, sequence, remember_ms, newest)
    if answered is not None:
        return answered
    space.set(version, newest, px=ttl_ms or None)
    return newest


def _bump_if_current(
    space: Keyspace, version: str, op: str, known: int, ttl_ms: int, sequence: int, remember_ms: int, repeated: str
) -> list[int | str]:
    answered = recall(space, op, sequence, remember_ms)
    if answered is not None:
        return [int(answered[:1] == "1"), answered[2:]]
    newest = _newest(space, version) or "0"
    if newest != str(known):
        refuse(space, op, sequence, remember_ms, repeated, f"0|{newest}")
        return [0, newest]
    newest = later(space, newest)
    space.set(version, newest, px=ttl_ms or None)
    remember(space, op, sequence, remember_ms, f"1|{newest}")
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
