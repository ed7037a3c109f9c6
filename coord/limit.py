"""Limits: so much in so much time, as rate limiters and quotas take them."""

from __future__ import annotations

from dataclasses import dataclass

from coord.names import Seconds, int64, milliseconds

__all__ = ["MOST", "Limit", "checked_amount", "checked_limits"]

MOST = 10**15
"""The largest amount: sums of several stay exact in a Lua number."""

_MOST_LIMITS = 100
_TEN_YEARS_MS = 10 * 365 * 24 * 3600 * 1000


@dataclass(frozen=True, slots=True)
class Limit:
    """``amount`` per ``per`` seconds; ``burst``: how much at once (None: ``amount``).

    Amounts are integers from 1 to 10**15. ``per`` is seconds (int, float or timedelta), in whole milliseconds.
    Refilling a whole burst takes at most 10 years.
    """

    amount: int
    per: Seconds
    burst: int | None = None

    def __post_init__(self) -> None:
        checked_amount(self.amount, "the amount of a limit")
        per_ms = milliseconds(self.per, "the time of a limit")
        if self.burst is None:
            return
        checked_amount(self.burst, "the burst of a limit")
        if self.burst * per_ms > _TEN_YEARS_MS * self.amount:
            raise ValueError(f"{self}: refilling the whole burst takes more than 10 years")

    @property
    def per_ms(self) -> int:
        """``per`` in milliseconds."""
        return milliseconds(self.per)


def checked_amount(value: int, what: str, most: int = MOST) -> int:
    """Return an amount if it is an int from 1 to ``most``."""
    value = int64(value, what)
    if not 1 <= value <= most:
        raise ValueError(f"{what} is {value}: it must be from 1 to {most}")
    return value


def checked_limits(limits: tuple[Limit, ...], what: str) -> tuple[Limit, ...]:
    """Return the limits of a handle: at least one, at most 100, all of type ``Limit``."""
    if not limits:
        raise ValueError(f"{what} needs at least one Limit")
    if len(limits) > _MOST_LIMITS:
        raise ValueError(f"{what} has {len(limits)} limits: at most {_MOST_LIMITS}")
    for limit in limits:
        if not isinstance(limit, Limit):
            raise TypeError(f"{what} takes coord.Limit, not {type(limit).__name__}")
    return limits
