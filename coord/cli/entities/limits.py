"""Limiters and quotas as they are read and shown: the fields of their keys say which limits to ask for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from coord.cli.entities.kind import Details, Kind, lasting
from coord.limit import MOST, Limit
from coord.script import Call

if TYPE_CHECKING:
    from coord.cli.entities.keys import EntityKey
    from coord.coordinator import CallMaker
    from coord.limiter import Verdict
    from coord.quota import QuotaStatus

__all__ = ["LIMITER", "QUOTA"]

_MOST_LIMITS = 100
_LONGEST_MS = 10 * 365 * 24 * 3600 * 1000
_ANY = Limit(1, per=1)
"""A limit that nothing is booked under: a penalty, and a key of another type, show with it as well."""


# --- limiters ------------------------------------------------------------------------------------


def _peeks(calls: CallMaker, key: EntityKey, fields: Sequence[str]) -> list[Call[Any]]:
    return [_peek(calls, key.name, limit) for limit in list(_rates(fields))[:_MOST_LIMITS] or [_ANY]]


def _rates(fields: Sequence[str]) -> Iterator[Limit]:
    """Yield the limits that a limiter has booked under: each is a field, amount/microseconds."""
    for field in fields:
        amount, _, per_us = field.partition("/")
        limit = _limit(amount, per_us, 1000)
        if limit is not None and f"{limit.amount}/{limit.per_ms * 1000}" == field:
            # The burst is not kept. The largest that is possible counts all that is used.
            yield replace(limit, burst=min(MOST, max(1, limit.amount * _LONGEST_MS // limit.per_ms)))


def _limit(amount: str, per: str, unit: int) -> Limit | None:
    if not (amount.isdecimal() and per.isdecimal()):
        return None
    try:
        return Limit(int(amount), per=timedelta(milliseconds=int(per) // unit))
    except (ValueError, OverflowError):
        return None


def _peek(calls: CallMaker, name: str, limit: Limit) -> Call[tuple[Limit, Verdict]]:
    call = calls.limiter(name, limit).peek()

    def read(reply: Any) -> tuple[Limit, Verdict]:
        return limit, call.read(reply)

    return Call(call.script, call.keys, call.argv, read)


def _details_of_limiter(answers: list[tuple[Limit, Verdict]]) -> Details | None:
    limits = [
        {
            "amount": limit.amount,
            "per": limit.per_ms / 1000,
            "used": (limit.burst or limit.amount) - verdict.remaining,
            "full_in": verdict.reset_after,
        }
        for limit, verdict in answers
        if limit is not _ANY and verdict.reset_after > 0
    ]
    penalty = max(verdict.retry_after for _, verdict in answers)
    if not limits and not penalty:
        return None
    return {"limits": limits, **({"penalty": penalty} if penalty else {})}


def _summary_of_limiter(details: Details) -> str:
    parts = [f"{each['used']:,} of {each['amount']:,} per {lasting(each['per'])}" for each in details["limits"]]
    if "penalty" in details:
        parts.insert(0, f"refuses everything for {lasting(details['penalty'])}")
    return ", ".join(parts)


# --- quotas --------------------------------------------------------------------------------------


def _statuses(calls: CallMaker, key: EntityKey, fields: Sequence[str]) -> list[Call[Any]]:
    pers = [limit for field in fields if (limit := _limit("1", field, 1)) is not None and str(limit.per_ms) == field]
    return [calls.quota(key.name, *(pers[:_MOST_LIMITS] or [_ANY])).status()]


def _details_of_quota(answers: list[list[QuotaStatus]]) -> Details | None:
    windows = [
        {"per": each.limit.per_ms / 1000, "spent": each.spent, "held": each.held, "resets_in": each.resets_in}
        for each in answers[0]
        if each.spent or each.held
    ]
    return {"windows": windows} if windows else None


def _summary_of_quota(details: Details) -> str:
    return ", ".join(
        f"{each['spent']:,} spent, {each['held']:,} held per {lasting(each['per'])}" for each in details["windows"]
    )


LIMITER = Kind(None, _details_of_limiter, _summary_of_limiter, by_fields=_peeks)
QUOTA = Kind(None, _details_of_quota, _summary_of_quota, by_fields=_statuses)
