"""Claims: one caller takes a name for a while. Dedupe windows, leases, locks.

A claim is a lease with a fence, not a lock. Redis replicates asynchronously, and a process may pause for longer than
its lease: two holders may believe for a moment that they hold the same name. The fence grows with every grant: have
the datastore reject any fence below one it has seen
(M. Kleppmann, "How to do distributed locking", 2016; https://redis.io/docs/latest/develop/clients/patterns/distributed-locks/).
"""

from __future__ import annotations

from dataclasses import dataclass

from coord.extend import Call, Calls, Keyspace, ReplyError, Seconds, as_count, check_name, load, milliseconds, reads
from coord.leases import Grant
from coord.lualib import answer_once, later, recall, refuse, remember, whole

__all__ = ["Claimable", "Holder", "forget", "holder", "once"]

_NO_WINDOW = "COORD_CORRUPT this window was not written by coord"


@dataclass(frozen=True, kw_only=True, slots=True)
class Holder:
    """The holder of a name: its owner, the fence of its claim, and the seconds until it ends."""

    owner: str
    fence: int
    expires_in: float


def once(ops: Calls, name: str, ttl: Seconds = 45, owner: str | None = None) -> Call[bool]:
    """Return True for exactly one caller per window of ``ttl`` seconds, False for all others until it ends.

    The window starts with the call that gets True; other calls do not extend it. ``owner``, such as the id of a
    message, gets True again within its own window: pass it if a queue may deliver a message twice. ``forget`` ends
    the window early. A window and a claim of the same name are independent.
    """
    once, nonce, ttl_ms = ops.key("once", name), ops.nonce(), milliseconds(ttl)
    owner = "" if owner is None else check_name(owner, "owner")
    if ops.sends_once:
        # The call is sent once only, so no answer is kept for copies of it.
        return ops.call(ONCE, (once, once + ":answered:"), (owner, nonce, ttl_ms, 0, 0, "0"), bool)
    # Repetitions of a call arrive within half of ``remember_ms``: a longer window is still there to answer them.
    keep_ms = ops.remember_ms if 2 * ttl_ms < ops.remember_ms else 0
    argv = (owner, nonce, ttl_ms, keep_ms, ops.tombstone_ms, "0")
    return ops.call(ONCE, (once, f"{once}:answered:{nonce}"), argv, bool)


def forget(ops: Calls, name: str, owner: str | None = None) -> Call[bool]:
    """End the window of ``once`` early, because the work failed; return True if there was one.

    With ``owner``, only that owner's window is ended: a late worker cannot end the window of the next owner.
    """
    once = ops.key("once", name)
    owner = "" if owner is None else check_name(owner, "owner")
    op, sequence, remember_ms = ops.remembered(once)
    return ops.call(FORGET, (once, op), (owner, sequence, remember_ms, "0"), bool)


class Claimable:
    """A name that can be claimed; ``kind`` is part of its key, so the same name of another kind is another claim.

    Each lease object has its own instance: ``_by`` distinguishes those of one owner when they release.
    ``announced``: a grant is published as well as a release, for callers that watch the holder.
    """

    def __init__(self, ops: Calls, name: str, kind: str = "claim", *, announced: bool = False) -> None:
        self.ops = ops
        self._by = ops.nonce()
        self.name = name
        self.channel = ops.key(kind, name)
        self._announce = ops.publish if announced else "none"

    @property
    def title(self) -> str:
        """The lease as messages name it."""
        return f"the lease of {self.name!r}"

    def ask(self, owner: str, nonce: str, ttl_ms: int) -> Call[Grant]:
        """Ask for the claim; ``Grant.granted`` says whether it was given."""
        claim, ops = self.channel, self.ops
        # A waiter asks more than once for one nonce: late copies are recognised by the id of the call.
        keys = claim, f"{claim}:tombstone:{nonce}", f"{claim}:answered:{ops.nonce()}"
        return ops.call(CLAIM, keys, (owner, nonce, ttl_ms, ops.tombstone_ms, "0", self._announce), _read_grant)

    def renew(self, nonce: str, ttl_ms: int) -> Call[bool]:
        """Hold the claim for ``ttl_ms`` from now; False if the attempt no longer holds it."""
        return self.ops.call(RENEW, (self.channel,), (nonce, ttl_ms), _read_first)

    def release(self, nonce: str) -> Call[bool]:
        """Release the claim; False if the attempt no longer held it. The attempt is refused from then on."""
        keys = self.channel, f"{self.channel}:tombstone:{nonce}"
        return self.ops.call(RELEASE, keys, (nonce, self._by, self.ops.tombstone_ms, self.ops.publish), bool)

    def holds(self, nonce: str, fence: int) -> Call[bool]:
        """Return whether the claim has this fence at present."""
        return self.ops.call(HOLDER, (self.channel,), (), lambda reply: _has_fence(reply, fence))

    def holder(self) -> Call[Holder | None]:
        """Return the holder of the name; None when it is free."""
        return self.ops.call(HOLDER, (self.channel,), (), _read_holder)


def holder(ops: Calls, name: str) -> Call[Holder | None]:
    """Return the holder of a name; None when it is free."""
    return ops.call(HOLDER, (ops.key("claim", name),), (), _read_holder)


@reads
def _read_grant(reply: list[int | str]) -> Grant:
    granted, nonce, fence, left_ms = reply
    return Grant(granted == 1, str(nonce), as_count(fence), as_count(left_ms) / 1000)


@reads
def _read_first(reply: list[int | str]) -> bool:
    return reply[0] == 1


@reads
def _read_holder(reply: list[int | str]) -> Holder | None:
    owner, fence, left_ms = reply
    return Holder(owner=str(owner), fence=as_count(fence), expires_in=as_count(left_ms) / 1000) if owner else None


def _has_fence(reply: list[int | str], fence: int) -> bool:
    held = _read_holder(reply)
    return held is not None and held.fence == fence


# --- twins ---------------------------------------------------------------------------------------


def _holding(claim: str | None) -> tuple[str, str, str]:
    """Return owner, attempt and fence of a claim; the attempt is "" if it is free."""
    if claim is None:
        return "", "", "0"
    parts = claim.rsplit("|", 2)
    if len(parts) == 3 and whole(parts[2]):
        return parts[0], parts[1], parts[2]
    raise ReplyError("COORD_CORRUPT this claim was not written by coord")


def _once(
    space: Keyspace,
    once: str,
    answered: str,
    owner: str,
    nonce: str,
    ttl_ms: int,
    keep_ms: int,
    tombstone_ms: int,
    repeated: str,
) -> int:
    held = space.get(once)
    if held is not None:
        first, separator, attempt = held.rpartition("|")
        if not separator:
            raise ReplyError(_NO_WINDOW)
        if attempt == nonce or (owner and first == owner):
            answer_once(space, answered, repeated, tombstone_ms, "1")
            return 1
        if repeated == "0":
            return 0
    before = space.get(answered)
    if before is not None:
        return int(before == "1")
    if held is not None:
        answer_once(space, answered, repeated, tombstone_ms, "0")
        return 0
    space.set(once, f"{owner}|{nonce}", px=ttl_ms)
    if keep_ms:
        space.set(answered, "1", px=keep_ms)
    answer_once(space, answered, repeated, tombstone_ms, "1")
    return 1


def _forget(space: Keyspace, once: str, op: str, owner: str, sequence: int, remember_ms: int, repeated: str) -> int:
    before = recall(space, op, sequence, remember_ms)
    if before is not None:
        return int(before == "1")
    held = space.get(once)
    first, separator, _ = (held or "").rpartition("|")
    if held is not None and not separator:
        raise ReplyError(_NO_WINDOW)
    if held is None or (owner and first != owner):
        refuse(space, op, sequence, remember_ms, repeated, "0")
        return 0
    space.delete(once)
    remember(space, op, sequence, remember_ms, "1")
    return 1


def _claim(
    space: Keyspace,
    claim: str,
    tombstone: str,
    answered: str,
    owner: str,
    nonce: str,
    ttl_ms: int,
    tombstone_ms: int,
    repeated: str,
    announce: str,
) -> list[int | str]:
    holder, attempt, fence = _holding(space.get(claim))
    taken = attempt != ""
    left_ms = space.pttl(claim) if taken else 0
    if taken and holder != owner:
        answer_once(space, answered, repeated, tombstone_ms, "0")
        return [0, "", "0", left_ms]
    if taken:
        if left_ms < ttl_ms:
            space.pexpire(claim, ttl_ms)
            left_ms = ttl_ms
        answer_once(space, answered, repeated, tombstone_ms, "1")
        return [1, attempt, fence, left_ms]
    if space.exists(tombstone, answered):
        return [0, "", "0", 0]
    fence = later(space, fence)
    space.set(claim, f"{owner}|{nonce}|{fence}", px=ttl_ms)
    answer_once(space, answered, repeated, tombstone_ms, "1")
    if announce != "none":
        space.publish(claim, "taken")
    return [1, nonce, fence, ttl_ms]


def _renew(space: Keyspace, claim: str, nonce: str, ttl_ms: int) -> list[int | str]:
    _, attempt, fence = _holding(space.get(claim))
    if attempt != nonce:
        return [0, "0"]
    space.pexpire(claim, ttl_ms)
    return [1, fence]


def _release(space: Keyspace, claim: str, tombstone: str, nonce: str, by: str, tombstone_ms: int, publish: str) -> int:
    _, attempt, fence = _holding(space.get(claim))
    if attempt == nonce:
        space.set(tombstone, by, px=tombstone_ms)
        space.set(claim, f"||{fence}", px=tombstone_ms)
        space.publish(claim, "free")
        return 1
    answered = space.get(tombstone)
    if answered is not None:
        return int(answered == by)
    space.set(tombstone, "", px=tombstone_ms)
    return 0


def _holder(space: Keyspace, claim: str) -> list[int | str]:
    owner, attempt, fence = _holding(space.get(claim))
    return [owner, fence, space.pttl(claim)] if attempt else ["", fence, 0]


ONCE = load("once", _once)
FORGET = load("forget", _forget)
CLAIM = load("claim", _claim)
RENEW = load("renew", _renew)
RELEASE = load("release", _release)
HOLDER = load("holder", _holder)
