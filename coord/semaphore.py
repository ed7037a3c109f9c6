"""Semaphores: at most a certain weight of permits is held at once, by all instances together.

A permit is a lease: it ends by itself when its holder dies, so a slot is never lost. It has a fence, which grows from
grant to grant. The limit travels with each call and is not stored: a lower limit refuses, and evicts no holder.
"""

from __future__ import annotations

from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, cast, overload

from coord.extend import (
    Async,
    Call,
    Calls,
    Family,
    Keyspace,
    M,
    ReplyError,
    Runs,
    Seconds,
    Sync,
    as_count,
    load,
    op,
    reads,
)
from coord.leases import AsyncHolding, AsyncLease, BaseLease, Grant, Holding, Lease, LeaseRequest, claiming, held_of
from coord.lualib import answer_once, at_ms, later, now_ms, outlive, whole

__all__ = ["AsyncPermit", "Permit", "PermitHolder", "Permits", "Semaphore"]

_MOST = 1_000_000_000
"""The highest limit."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PermitHolder:
    """The holder of a permit: its owner, the permit's fence and weight, and the seconds until it ends."""

    owner: str
    fence: int
    weight: int
    expires_in: float


class Permits:
    """The permits of one weight of a semaphore, as something that can be leased. A lease's nonce is its member.

    Each permit object has its own instance: ``_by`` distinguishes those of one owner when they release.
    """

    def __init__(self, ops: Calls, name: str, limit: int, weight: int) -> None:
        self.ops = ops
        self._by = ops.nonce()
        self.name = name
        self.limit = limit
        self.weight = weight
        self.channel = ops.key("semaphore", name)

    @property
    def title(self) -> str:
        """The permit as messages name it."""
        return f"the permit of {self.name!r}"

    def ask(self, owner: str, nonce: str, ttl_ms: int) -> Call[Grant]:
        """Ask for a permit; ``Grant.granted`` says whether it was given."""
        key, ops = self.channel, self.ops
        # A waiter asks more than once for one nonce: late copies are recognised by the id of the call.
        keys = key, f"{key}:tombstone:{nonce}", f"{key}:answered:{ops.nonce()}"
        argv = (owner, nonce, self.limit, self.weight, ttl_ms, ops.tombstone_ms, "0")
        return ops.call(CLAIM, keys, argv, _read_grant)

    def renew(self, nonce: str, ttl_ms: int) -> Call[bool]:
        """Hold a permit for ``ttl_ms`` from now; False when it has ended or was released."""
        return self.ops.call(RENEW, (self.channel,), (nonce, ttl_ms), _read_first)

    def release(self, nonce: str) -> Call[bool]:
        """Release a permit; False when the attempt did not hold it any more. The attempt is refused from then on.

        ``nonce``: that of an attempt whose answer was lost, or of a grant.
        """
        attempt, granted, _ = nonce.partition("|")
        argv = (attempt, self._by, nonce if granted else "", self.ops.tombstone_ms, self.ops.publish)
        return self.ops.call(RELEASE, (self.channel, f"{self.channel}:tombstone:{attempt}"), argv, bool)

    def holds(self, nonce: str, fence: int) -> Call[bool]:
        """Return whether a permit is held at present."""
        return self.ops.call(HELD, (self.channel,), (nonce,), _read_first)


class _Weighs:
    """The attributes of a permit that a lease does not have."""

    @property
    def weight(self) -> int:
        """The part of the limit that the permit takes."""
        return cast("Permits", held_of(cast("BaseLease", self)).what).weight


class Permit(_Weighs, Lease):
    """A permit that was granted: a lease with a ``weight``."""


class AsyncPermit(_Weighs, AsyncLease):
    """A permit that was granted: a lease with a ``weight``."""


class Semaphore(Family[M]):
    """At most ``limit`` weight of permits at once: ``claim``, ``hold``, ``holders``.

    ``limit`` is 1 to 1,000,000,000. It is not stored: each call is judged by its own, so a lower limit refuses until
    enough permits have ended, and takes none away.
    """

    def __init__(self, c: Runs[M], name: str, limit: int) -> None:
        super().__init__(c)
        self.name = name
        self.limit = _checked("limit", limit, _MOST)
        self._key = self.ops.key("semaphore", name)

    @overload
    def claim(
        self: Semaphore[Sync], ttl: Seconds = 30, weight: int = 1, owner: str | None = None, renew: bool = False
    ) -> Permit | None: ...
    @overload
    def claim(
        self: Semaphore[Async], ttl: Seconds = 30, weight: int = 1, owner: str | None = None, renew: bool = False
    ) -> Coroutine[Any, Any, AsyncPermit | None]: ...
    def claim(self, ttl: Seconds = 30, weight: int = 1, owner: str | None = None, renew: bool = False) -> Any:
        """Take a permit for ``ttl`` seconds, or return None at once when the limit would be exceeded.

        If the same ``owner`` asks again, it gets its permit back, with the same fence and at least ``ttl`` left; with
        another ``weight`` None. Without ``owner`` every call counts as a different owner. Interrupted or failed, it
        leaves nothing held. With ``renew`` the permit is renewed in the background until it is released or lost, or
        the ``Permit`` is garbage-collected. Raises ``ValueError`` when ``weight`` is below 1 or above the limit.
        """
        request = LeaseRequest.of(self._permits(weight), ttl, owner=owner)
        c: Any = self.ops
        lease: Any = AsyncPermit if c.mode is Async else Permit
        return c.follow(claiming(c, lease, request, renew=renew))

    @overload
    def hold(
        self: Semaphore[Sync],
        ttl: Seconds = 30,
        wait: Seconds | None = None,
        weight: int = 1,
        renew: bool = True,
        owner: str | None = None,
    ) -> Holding[Permit]: ...
    @overload
    def hold(
        self: Semaphore[Async],
        ttl: Seconds = 30,
        wait: Seconds | None = None,
        weight: int = 1,
        renew: bool = True,
        owner: str | None = None,
    ) -> AsyncHolding[AsyncPermit]: ...
    def hold(
        self,
        ttl: Seconds = 30,
        wait: Seconds | None = None,
        weight: int = 1,
        renew: bool = True,
        owner: str | None = None,
    ) -> Any:
        """Hold a permit while a ``with`` block runs (``async with`` on an async coordinator).

        Waits for it up to ``wait`` seconds (None: without limit; 0: one try), else raises ``WaitTimeout``. Waiters of
        one process get their permits in the order in which they asked: a light one does not overtake a heavy one.
        With ``renew`` the permit is renewed at a third of its TTL for as long as the block runs; if it is lost,
        ``permit.lost`` is set at once, and leaving the block raises ``LeaseLost`` unless the block raised another
        exception. Raises ``ValueError`` when ``weight`` is below 1 or above the limit.
        """
        request = LeaseRequest.of(self._permits(weight), ttl, wait, owner)
        c: Any = self.ops
        if c.mode is Async:
            return AsyncHolding(c, request, AsyncPermit, renew=renew)
        return Holding(c, request, Permit, renew=renew)

    @op
    def holders(self) -> Call[list[PermitHolder]]:
        """Return the permits that are held, in the order in which they were granted."""
        return self.ops.call(HOLDERS, (self._key,), (), _read_holders)

    def _permits(self, weight: int) -> Permits:
        return Permits(self.ops.calls, self.name, self.limit, _checked("weight", weight, self.limit))


def _checked(what: str, value: int, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise (ValueError if isinstance(value, bool) else TypeError)(
            f"{what} must be an int, not {type(value).__name__}"
        )
    if not 1 <= value <= most:
        raise ValueError(f"{what} is {value}: it must be from 1 to {most:,}")
    return int(value)


@reads
def _read_grant(reply: list[int | str]) -> Grant:
    granted, permit, fence, left_ms = reply
    return Grant(granted == 1, str(permit), as_count(fence), as_count(left_ms) / 1000)


@reads
def _read_first(reply: list[int | str]) -> bool:
    return reply[0] == 1


@reads
def _read_holders(reply: list[int | str]) -> list[PermitHolder]:
    held = [
        PermitHolder(
            owner=str(owner), fence=as_count(fence), weight=as_count(weight), expires_in=as_count(left_ms) / 1000
        )
        for owner, fence, weight, left_ms in zip(*(reply[at::4] for at in range(4)), strict=True)
    ]
    return sorted(held, key=lambda each: each.fence)


# --- twins ---------------------------------------------------------------------------------------


def _counted(score: str | None) -> str:
    """Return the number of a score that is 0 or negated."""
    number = "0" if score is None else score.removeprefix("-")
    if not whole(number):
        raise ReplyError("COORD_CORRUPT this semaphore was not written by coord")
    return number


def _parts(member: str) -> tuple[str, str, str, str] | None:
    """Return nonce, weight, fence and owner of a permit; None: the member is not a permit."""
    nonce, *rest = member.split("|", 3)
    if len(rest) < 3 or not nonce or "=" in nonce or not all(map(_is_digits, rest[:2])):
        return None
    return nonce, rest[0], rest[1], rest[2]


def _is_digits(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _permit_of(space: Keyspace, semaphore: str, owner: str, deadline: str) -> tuple[str, str, str] | None:
    """Return member, weight and fence of an owner's permit."""
    for member in space.zrange(semaphore, deadline, deadline, "BYSCORE"):
        parts = _parts(member)
        if parts is not None and parts[3] == owner:
            return member, parts[1], parts[2]
    return None


def _claim(
    space: Keyspace,
    semaphore: str,
    tombstone: str,
    answered: str,
    owner: str,
    nonce: str,
    limit: int,
    weight: int,
    ttl_ms: int,
    tombstone_ms: int,
    repeated: str,
) -> list[int | str]:
    has = space.zmscore(semaphore, "used", "fence", f"={owner}")
    if weight < 1 or weight > limit or limit > _MOST or "|" in nonce or "=" in nonce:
        raise ReplyError(f"COORD_RANGE a permit weighs 1 to its limit, at most {_MOST}; its nonce is plain")
    used, fence = int(_counted(has[0])), _counted(has[1])
    now = now_ms(space)
    ended = space.zrange(semaphore, "(0", f"({now}", "BYSCORE", "LIMIT", 0, 100)
    if ended:
        used -= sum(int(parts[1]) for member in ended if (parts := _parts(member)) is not None)
        space.zrem(semaphore, *ended)
        space.zadd(semaphore, -used, "used")

    def refuse() -> list[int | str]:
        answer_once(space, answered, repeated, tombstone_ms, "0")
        first = space.zrange(semaphore, "(0", "+inf", "BYSCORE", "LIMIT", 0, 1, "WITHSCORES")
        return [0, "", "0", max(0, at_ms(first[1]) - now) if first else 0]

    deadline = at_ms(has[2] or "0")
    if deadline >= now:
        permit_of = _permit_of(space, semaphore, owner, has[2] or "0")
        if permit_of is None or permit_of[1] != str(weight):
            return refuse()
        permit, _, since = permit_of
        if deadline < now + ttl_ms:
            deadline = now + ttl_ms
            space.zadd(semaphore, deadline, permit, deadline, f"={owner}")
            outlive(space, semaphore, 0)
        answer_once(space, answered, repeated, tombstone_ms, "1")
        return [1, permit, since, deadline - now]
    if space.exists(tombstone, answered) or used + weight > limit:
        return refuse()
    fence = later(space, fence)
    permit = f"{nonce}|{weight}|{fence}|{owner}"
    ends = now + ttl_ms
    space.zadd(semaphore, -used - weight, "used", f"-{fence}", "fence", ends, permit, ends, f"={owner}")
    outlive(space, semaphore, 0)
    answer_once(space, answered, repeated, tombstone_ms, "1")
    return [1, permit, fence, ttl_ms]


def _renew(space: Keyspace, semaphore: str, permit: str, ttl_ms: int) -> list[int | str]:
    deadline = space.zscore(semaphore, permit)
    now = now_ms(space)
    parts = _parts(permit)
    if deadline is None or parts is None or at_ms(deadline) < now:
        return [0, "0"]
    _, _, fence, owner = parts
    ends = now + ttl_ms
    space.pexpireat(semaphore, ends)
    space.zadd(semaphore, ends, permit, ends, f"={owner}")
    outlive(space, semaphore, 0)
    return [1, fence]


def _release(
    space: Keyspace,
    semaphore: str,
    tombstone: str,
    nonce: str,
    by: str,
    permit: str,
    tombstone_ms: int,
    publish: str,
) -> int:
    has = space.zmscore(semaphore, "used", permit)
    used = int(_counted(has[0]))
    now = now_ms(space)
    held: list[str] = []
    if permit == "":
        held = space.zrange(semaphore, now, "+inf", "BYSCORE")
    elif has[1] is not None and at_ms(has[1]) >= now:
        held = [permit]
    for member in held:
        parts = _parts(member)
        if parts is not None and parts[0] == nonce:
            _, weight, _, owner = parts
            space.zrem(semaphore, member, f"={owner}")
            space.zadd(semaphore, int(weight) - used, "used")
            outlive(space, semaphore, now + tombstone_ms)
            space.set(tombstone, by, px=tombstone_ms)
            space.publish(semaphore, "free")
            return 1
    answer = space.get(tombstone)
    if answer is not None:
        return int(answer == by)
    space.set(tombstone, "", px=tombstone_ms)
    return 0


def _held(space: Keyspace, semaphore: str, permit: str) -> list[int]:
    deadline = space.zscore(semaphore, permit)
    now = now_ms(space)
    if deadline is None or at_ms(deadline) < now:
        return [0, 0]
    return [1, at_ms(deadline) - now]


def _holders(space: Keyspace, semaphore: str) -> list[int | str]:
    now = now_ms(space)
    held = space.zrange(semaphore, now, "+inf", "BYSCORE", "WITHSCORES")
    reply: list[int | str] = []
    for member, deadline in zip(held[::2], held[1::2], strict=True):
        parts = _parts(member)
        if parts is not None:
            _, weight, fence, owner = parts
            reply += owner, fence, weight, at_ms(deadline) - now
    return reply


CLAIM = load("semaphore_claim", _claim)
RENEW = load("semaphore_renew", _renew)
RELEASE = load("semaphore_release", _release)
HELD = load("semaphore_held", _held)
HOLDERS = load("semaphore_holders", _holders)
