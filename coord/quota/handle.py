"""The handle of a quota: reserve, hold, spend, status; and what a reservation can do."""

from __future__ import annotations

from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, NamedTuple, cast, overload

from coord.errors import LeaseLost, QuotaExceeded
from coord.extend import (
    Async,
    Call,
    Calls,
    CoordError,
    Family,
    M,
    Plan,
    Runs,
    Seconds,
    Sync,
    as_count,
    ask,
    check_name,
    int64,
    milliseconds,
    op,
    percent_encode,
    planned,
    reads,
    repeats,
)
from coord.leases import (
    Answer,
    AsyncHolding,
    AsyncLease,
    Attempt,
    BaseLease,
    Holding,
    Lease,
    LeaseRequest,
    answering,
    held_of,
)
from coord.limit import MOST, Limit, checked_amount, checked_limits
from coord.quota.windows import HELD, RENEW, RESERVE, SETTLE, SPEND, STATUS

__all__ = ["AsyncReservation", "Quota", "QuotaStatus", "Reservation", "Reserving"]


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotaStatus:
    """The present window of one limit. ``resets_in``: seconds until it ends; ``remaining`` is never negative."""

    limit: Limit
    spent: int
    held: int
    remaining: int
    resets_in: float


class _Grant(NamedTuple):
    """The answer to a request for a reservation."""

    granted: bool
    nonce: str
    fence: int
    left: float
    amount: int
    settled: bool
    refusing: int


class Reserving:
    """An amount of a quota that can be reserved, as calls."""

    def __init__(self, quota: Quota[Any], ops: Calls, amount: int, op_id: str | None) -> None:
        self.ops = ops
        self.quota = quota
        self.name = quota.name
        self.channel = quota.ops.key("quota", quota.name)
        self.amount = amount
        self._op_id = op_id

    @property
    def title(self) -> str:
        """The reservation as messages name it."""
        return f"the reservation in the quota {self.name!r}"

    def ask(self, owner: str, nonce: str, ttl_ms: int) -> Call[_Grant]:
        """Ask for the amount in the present windows, all of them or none."""
        named = "0" if self._op_id is None else "1"
        argv = (nonce, self.amount, ttl_ms, self._grace_ms(ttl_ms), named, self.ops.tombstone_ms, repeats(self._op_id))
        return self.ops.call(RESERVE, self._keys(nonce), (*argv, *self.quota.words), _read_grant)

    def renew(self, nonce: str, ttl_ms: int) -> Call[bool]:
        """Hold it for ``ttl_ms`` from now; False when it lapsed, or was settled or cancelled."""
        _, reservation, held = self._keys(nonce)
        return self.ops.call(RENEW, (reservation, held), (nonce, ttl_ms, self._grace_ms(ttl_ms)), bool)

    def release(self, nonce: str) -> Call[bool]:
        """Cancel it; an attempt that did not reserve yet is refused from then on."""
        return self.settle(nonce, "cancelled", -1)

    def settle(self, nonce: str, verdict: str, actual: int) -> Call[bool]:
        """Settle or cancel it; True for the call that did."""
        argv = (nonce, self.ops.nonce(), verdict, actual, self.ops.tombstone_ms)
        return self.ops.call(SETTLE, self._keys(nonce), argv, bool)

    def holds(self, nonce: str, fence: int) -> Call[bool]:
        """Return whether it is held at present."""
        return self.ops.call(HELD, (self._keys(nonce)[1],), (nonce,), bool)

    def _keys(self, nonce: str) -> tuple[str, str, str]:
        # The id of a call is its operation id where the caller gave none.
        id = f"call-{nonce}" if self._op_id is None else percent_encode(self._op_id, "op_id")
        return self.channel, f"{self.channel}:reservation:{id}", f"{self.channel}:held"

    def _grace_ms(self, ttl_ms: int) -> int:
        """Return how long after its end a reservation may still be settled."""
        return max(ttl_ms, self.ops.remember_ms, self.ops.tombstone_ms)


@reads
def _read_grant(reply: list[int | str]) -> _Grant:
    granted, nonce, amount, settled, refusing, retry_ms = reply
    left, numbers = as_count(retry_ms) / 1000, (as_count(amount), bool(settled), as_count(refusing))
    return _Grant(granted == 1, str(nonce), 0, left, *numbers)


def _settling(reservation: BaseLease, actual: int | None = None) -> Plan[bool]:
    """Book ``actual`` (None: the amount) in the windows of the reservation, and free the rest.

    ``actual``: an int from 0 to 10**15; more than the amount is booked as well. True for the call that settled it,
    also within one TTL (at least 60 s) after it lapsed; False when it was settled or cancelled before, or is too late.
    """
    if actual is not None and not 0 <= int64(actual, "actual") <= MOST:
        raise ValueError(f"actual is {actual}: it must be from 0 to {MOST}")
    return (yield from _ending(reservation, "settled", -1 if actual is None else int(actual)))


def _cancelling(reservation: BaseLease) -> Plan[bool]:
    """Free the whole amount, and book nothing.

    True for the call that cancelled it; False when it was settled or cancelled before, or is too late.
    """
    return (yield from _ending(reservation, "cancelled", -1))


def _ending(reservation: BaseLease, verdict: str, actual: int) -> Plan[bool]:
    held = held_of(reservation)
    held.stop_renewing()
    what = cast("Reserving", held.what)
    ended = yield from ask(what.settle(held.nonce, verdict, actual))
    held.mark_released()
    return ended


def _leave(reservation: BaseLease, error: BaseException | None) -> Plan[None]:
    """Cancel the reservation of a block that raised, settle that of one that did not, unless that was done."""
    held = held_of(reservation)
    if held.released:
        return
    try:
        ended = yield from _ending(reservation, "settled" if error is None else "cancelled", -1)
    except CoordError:
        # The error of the block says more; what it held returns by its TTL.
        if error is None:
            raise
    else:
        if error is None and not ended:
            raise LeaseLost(f"{held.what.title} was settled or cancelled elsewhere, or ran out before it was settled")


class _Reserved:
    """The attributes of a reservation that a lease does not have."""

    @property
    def amount(self) -> int:
        """The amount that it holds."""
        return cast("Reserving", held_of(cast("BaseLease", self)).what).amount

    settle = planned(_settling)
    cancel = planned(_cancelling)
    release = cancel

    def _leaving(self, error: BaseException | None) -> Plan[Any]:
        return _leave(cast("BaseLease", self), error)


class Reservation(_Reserved, Lease):
    """An amount of a quota that is held until it is settled, cancelled, or its TTL is over."""


class AsyncReservation(_Reserved, AsyncLease):
    """An amount of a quota that is held until it is settled, cancelled, or its TTL is over."""


def _asked(c: Any, lease: Any, request: LeaseRequest[Any], attempt: Attempt) -> Plan[Answer[_Grant, Any]]:
    """Ask once for a reservation; one that was settled before under its operation id holds nothing."""
    answer = yield from answering(c, lease, request, attempt)
    # None only when time is over, and one try takes none.
    found = cast("Answer[_Grant, Any]", answer)
    if found.lease is not None:
        request.what.amount = found.grant.amount  # type: ignore[attr-defined]  # of Reserving
        if found.grant.settled:
            held_of(found.lease).mark_released()
    return found


def _reserving(c: Any, lease: Any, request: LeaseRequest[Any]) -> Plan[Any]:
    answer = yield from _asked(c, lease, request, Attempt())
    return answer.lease


def _entering(c: Any, lease: Any, request: LeaseRequest[Any], attempt: Attempt) -> Plan[Any]:
    """Reserve for a block; ``QuotaExceeded`` when a limit refuses."""
    answer = yield from _asked(c, lease, request, attempt)
    if answer.lease is None:
        what, grant = cast("Reserving", request.what), answer.grant
        limit = what.quota.limits[max(grant.refusing - 1, 0)]
        text = f"the quota {what.name!r} has no room for {what.amount} in {limit}: try again in {grant.left} s"
        raise QuotaExceeded(text, limit, grant.left)
    return answer.lease


class _Block(Holding[Reservation]):
    def _acquiring(self, attempt: Attempt) -> Plan[Reservation]:
        return _entering(self._ops, Reservation, self._request, attempt)


class _AsyncBlock(AsyncHolding[AsyncReservation]):
    def _acquiring(self, attempt: Attempt) -> Plan[AsyncReservation]:
        return _entering(self._ops, AsyncReservation, self._request, attempt)


class Quota(Family[M]):
    """A budget of one name, under one or several limits. Made by ``c.quota``.

    The window of a limit begins at a whole multiple of ``per`` since 1970 (UTC). What is spent and held in it
    together never passes ``amount`` at the moment when more is admitted.
    """

    def __init__(self, c: Runs[M], name: str, *limits: Limit) -> None:
        super().__init__(c)
        self.name = name
        self.limits = checked_limits(limits, "a quota")
        if any(limit.burst is not None for limit in limits):
            raise ValueError("a limit of a quota cannot have a burst: leave it out")
        pers = [limit.per_ms for limit in limits]
        if len(set(pers)) < len(pers):
            raise ValueError("two limits of a quota have the same per: give each another one")
        self.words: tuple[str | int, ...] = tuple(word for limit in limits for word in (limit.per_ms, limit.amount))
        self._most = min(limit.amount for limit in limits)
        self._longest_ms = max(pers)
        self._key = self.ops.key("quota", name)

    @overload
    def reserve(self: Quota[Sync], amount: int, ttl: Seconds = 120, op_id: str | None = None) -> Reservation | None: ...
    @overload
    def reserve(
        self: Quota[Async], amount: int, ttl: Seconds = 120, op_id: str | None = None
    ) -> Coroutine[Any, Any, AsyncReservation | None]: ...
    def reserve(self, amount: int, ttl: Seconds = 120, op_id: str | None = None) -> Any:
        """Hold an amount for ``ttl`` seconds in every present window, or return None when one has no room for it.

        ``amount``: an int, at least 1 and at most the smallest limit. What is neither settled nor cancelled returns
        after ``ttl``. The same ``op_id`` again, until the longest window ends, gets the reservation that is held or
        settled under it, whatever its amount; after one that was cancelled or lapsed, it reserves again.
        """
        c: Any = self.ops
        lease: Any = AsyncReservation if c.mode is Async else Reservation
        return c.follow(_reserving(c, lease, self._request(amount, ttl, op_id)))

    @overload
    def hold(
        self: Quota[Sync], amount: int, ttl: Seconds = 120, renew: bool = True, op_id: str | None = None
    ) -> Holding[Reservation]: ...
    @overload
    def hold(
        self: Quota[Async], amount: int, ttl: Seconds = 120, renew: bool = True, op_id: str | None = None
    ) -> AsyncHolding[AsyncReservation]: ...
    def hold(self, amount: int, ttl: Seconds = 120, renew: bool = True, op_id: str | None = None) -> Any:
        """Hold an amount while a ``with`` block runs (``async with`` on an async coordinator).

        Entering raises ``QuotaExceeded`` when a limit has no room. An exception in the block cancels the reservation;
        leaving it without ``settle`` settles the whole amount. With ``renew`` it is renewed at a third of its TTL.
        Leaving raises ``LeaseLost`` if it could not be settled any more. Arguments as for ``reserve``.
        """
        c: Any = self.ops
        request = self._request(amount, ttl, op_id)
        if c.mode is Async:
            return _AsyncBlock(c, request, AsyncReservation, renew=renew)
        return _Block(c, request, Reservation, renew=renew)

    @op
    def spend(self, amount: int, *, op_id: str | None = None) -> Call[bool]:
        """Spend an amount in every present window, or return False when one has no room for it; then nothing is spent.

        ``amount`` as for ``reserve``. The same ``op_id`` again spends nothing more and gets True, for the longest
        ``per``; that of a call that was refused may be used again.
        """
        amount = checked_amount(amount, "an amount", self._most)
        key, sequence, remember_ms = self.ops.remembered(self._key, op_id, self._longest_ms)
        argv = (amount, sequence, remember_ms, repeats(op_id), *self.words)
        return self.ops.call(SPEND, (self._key, key, f"{self._key}:held"), argv, "1".__eq__)

    @op
    def status(self) -> Call[list[QuotaStatus]]:
        """Return what is spent and held in the present window of each limit."""
        return self.ops.call(STATUS, (self._key, f"{self._key}:held"), self.words[::2], reads(self._read_status))

    def _read_status(self, reply: list[int]) -> list[QuotaStatus]:
        return [
            QuotaStatus(
                limit=limit,
                spent=as_count(spent),
                held=as_count(held),
                remaining=max(0, limit.amount - spent - held),
                resets_in=as_count(left_ms) / 1000,
            )
            for limit, spent, held, left_ms in zip(self.limits, reply[::3], reply[1::3], reply[2::3], strict=True)
        ]

    def _request(self, amount: int, ttl: Seconds, op_id: str | None) -> LeaseRequest[Any]:
        amount = checked_amount(amount, "an amount", self._most)
        milliseconds(ttl)
        op_id = None if op_id is None else check_name(op_id, "op_id")
        return LeaseRequest.of(Reserving(self, self.ops.calls, amount, op_id), ttl)
