"""Claims: one of many takes a name for a while. Dedupe windows, leases, locks.

A claim is a lease with a fence, not a lock. Redis replicates asynchronously, and a process may pause for longer than
its lease: two may believe for a moment that they hold the same name. The fence grows with every grant; what is
written to should refuse a fence below one it has seen
(M. Kleppmann, "How to do distributed locking", 2016; https://redis.io/docs/latest/develop/clients/patterns/distributed-locks/).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from coord.errors import ReplyError
from coord.family import Calls
from coord.lualib import later, whole
from coord.names import Seconds, milliseconds
from coord.script import Call, load

if TYPE_CHECKING:
    from coord.memory import Keyspace

__all__ = ["Grant", "Holder", "holder", "once", "release", "renew", "take"]


class Holder(NamedTuple):
    """Who has a name: its owner, the fence of its claim, and the seconds until it ends."""

    owner: str
    fence: int
    expires_in: float


class Grant(NamedTuple):
    """What came of a claim: whether it was granted, by which attempt, its fence, and the seconds it stays taken."""

    granted: bool
    nonce: str
    fence: int
    left: float


def once(ops: Calls, name: str, ttl: Seconds = 45) -> Call[bool]:
    """Return True for exactly one caller per window of ``ttl`` seconds, False for all others until it ends.

    The window opens with the call that gets True, and is not prolonged by others.
    A window and a claim of the same name know nothing of each other.
    """
    return ops.call(ONCE, (ops.key("once", name),), (ops.nonce(), milliseconds(ttl)), bool)


def take(ops: Calls, name: str, owner: str, nonce: str, ttl_ms: int) -> Call[Grant]:
    """Ask for a claim; ``Grant.granted`` says whether it was given."""
    claim = ops.key("claim", name)
    return ops.call(CLAIM, (claim, f"{claim}:tombstone:{nonce}"), (owner, nonce, ttl_ms), _read_grant)


def renew(ops: Calls, name: str, nonce: str, ttl_ms: int) -> Call[bool]:
    """Hold a claim for longer; False when the attempt no longer has it."""
    return ops.call(RENEW, (ops.key("claim", name),), (nonce, ttl_ms), _read_first)


def release(ops: Calls, name: str, nonce: str) -> Call[bool]:
    """Let a claim go; False when the attempt no longer had it. A later claim of the attempt is refused."""
    claim = ops.key("claim", name)
    return ops.call(RELEASE, (claim, f"{claim}:tombstone:{nonce}"), (nonce, ops.tombstone_ms, ops.publish), bool)


def holder(ops: Calls, name: str) -> Call[Holder | None]:
    """Return who has a name now; None when nobody has."""
    return ops.call(HOLDER, (ops.key("claim", name),), (), _read_holder)


def _read_grant(reply: list[int | str]) -> Grant:
    granted, nonce, fence, left_ms = reply
    return Grant(granted == 1, str(nonce), int(fence), int(left_ms) / 1000)


def _read_first(reply: list[int | str]) -> bool:
    return reply[0] == 1


def _read_holder(reply: list[int | str]) -> Holder | None:
    owner, fence, left_ms = reply
    return Holder(str(owner), int(fence), int(left_ms) / 1000) if owner else None


# --- twins ---------------------------------------------------------------------------------------


def _holding(claim: str | None) -> tuple[str, str, str]:
    """Who has a claim, by which attempt, under which fence; no attempt: it is free."""
    if claim is None:
        return "", "", "0"
    parts = claim.rsplit("|", 2)
    if len(parts) == 3 and whole(parts[2]):
        return parts[0], parts[1], parts[2]
    raise ReplyError("COORD_CORRUPT this claim was not written by coord")


def _once(space: Keyspace, once: str, nonce: str, ttl_ms: int) -> int:
    first = space.get(once)
    if first is not None:
        return 1 if first == nonce else 0
    space.set(once, nonce, px=ttl_ms)
    return 1


def _claim(space: Keyspace, claim: str, tombstone: str, owner: str, nonce: str, ttl_ms: int) -> list[int | str]:
    holder, attempt, fence = _holding(space.get(claim))
    taken = attempt != ""
    left_ms = space.pttl(claim) if taken else 0
    if taken and holder != owner:
        return [0, "", "0", left_ms]
    if taken:
        if left_ms < ttl_ms:
            space.pexpire(claim, ttl_ms)
            left_ms = ttl_ms
        return [1, attempt, fence, left_ms]
    if space.exists(tombstone):
        return [0, "", "0", 0]
    fence = later(space, fence)
    space.set(claim, f"{owner}|{nonce}|{fence}", px=ttl_ms)
    return [1, nonce, fence, ttl_ms]


def _renew(space: Keyspace, claim: str, nonce: str, ttl_ms: int) -> list[int | str]:
    _, attempt, fence = _holding(space.get(claim))
    if attempt != nonce:
        return [0, "0"]
    space.pexpire(claim, ttl_ms)
    return [1, fence]


def _release(space: Keyspace, claim: str, tombstone: str, nonce: str, tombstone_ms: int, publish: str) -> int:
    _, attempt, fence = _holding(space.get(claim))
    if attempt == nonce:
        space.set(tombstone, "1", px=tombstone_ms)
        space.set(claim, f"||{fence}", px=tombstone_ms)
        space.publish(claim, "free")
        return 1
    answered = space.get(tombstone)
    if answered is not None:
        return int(answered)
    space.set(tombstone, "0", px=tombstone_ms)
    return 0


def _holder(space: Keyspace, claim: str) -> list[int | str]:
    owner, attempt, fence = _holding(space.get(claim))
    return [owner, fence, space.pttl(claim)] if attempt else ["", fence, 0]


ONCE = load("once", _once)
CLAIM = load("claim", _claim)
RENEW = load("renew", _renew)
RELEASE = load("release", _release)
HOLDER = load("holder", _holder)
