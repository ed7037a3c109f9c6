"""A storage and a strategy for `limits <https://limits.readthedocs.io>`_ over coord.

    storage = CoordStorage("coord+redis://host:6379/0")        # or storage_from_string(...), once this is imported
    FixedWindowRateLimiter(storage).hit(parse("10/minute"), "user:42")
    MovingWindowRateLimiter(storage).hit(parse("10/minute"), "user:42")
    GcraRateLimiter(storage).hit(parse("10/minute"), "user:42")

Everything after ``coord+`` is a URL that ``coord.connect`` takes. All windows are in the time of the server.

- A fixed window begins with the first hit, as in the other storages of limits, and is a number with a TTL.
- A moving window is a semaphore whose permits are never released: an entry is a permit that ends after the window.
  It is exact, and costs about 100 bytes an entry.
- limits' sliding window counter is an estimate of the moving window; use the moving window.
- ``GcraRateLimiter`` is ``coord.limiter``: three integers a limit, whatever its amount. It means something else than a
  window: `10/minute` admits 10 at once and then one every 6 s, so up to nearly 20 in a minute that begins full.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from limits.storage import MovingWindowSupport, Storage
from limits.strategies import RateLimiter
from limits.util import WindowStats

import coord
from coord.extend import Call, Family, M, Script, op

if TYPE_CHECKING:
    from limits import RateLimitItem

__all__ = ["CoordStorage", "GcraRateLimiter"]

_MOST = 1_000_000_000
"""The highest limit of a semaphore."""

_ENDS = Script(
    "limits_ends",
    """-- limits_ends: tell how long a counter is kept.
--
-- KEYS   counter  string, expiring: the hits of a window      coord:kv:{name}
-- ARGV   none
-- REPLY  milliseconds; below 0 when there is no counter
-- ERRORS none
-- COST   O(1)

local counter = KEYS[1]

return redis.call("PTTL", counter)
""",
    lambda space, counter: space.pttl(counter),
)


class _Counters(Family[M]):
    """The counters of fixed windows: ``kv`` counts, and this tells how long they last."""

    @op
    def left(self, key: str) -> Call[float]:
        return self.ops.call(_ENDS, (self.ops.key("kv", key),), (), lambda reply: max(0, int(reply)) / 1000)


class CoordStorage(Storage, MovingWindowSupport):
    """The counters and entries of limits, in coord. ``key_prefix``: the prefix of the keys."""

    STORAGE_SCHEME = ["coord+memory", "coord+redis", "coord+rediss", "coord+redis+cluster", "coord+redis+sentinel"]  # noqa: RUF012  # as the base class has it

    def __init__(self, uri: str, wrap_exceptions: bool = False, key_prefix: str = "limits", **options: Any) -> None:
        super().__init__(uri, wrap_exceptions=wrap_exceptions)
        self.coordinator = coord.connect(uri.removeprefix("coord+"), prefix=f"{key_prefix}:", **options)

    @property
    def base_exceptions(self) -> type[Exception]:
        """Return the errors that ``wrap_exceptions`` wraps."""
        return coord.CoordError

    def check(self) -> bool:
        """Return whether the server answers."""
        try:
            self.coordinator.ping()
        except coord.Unavailable:
            return False
        return True

    def reset(self) -> int | None:
        """Not supported: coord does not search a server for keys. ``clear`` clears one limit."""
        raise NotImplementedError("CoordStorage cannot reset all limits: clear each of them")

    def clear(self, key: str) -> None:
        """Forget the hits of a limit."""
        self.coordinator.kv.delete(key)
        entries = self.coordinator.semaphore(key, limit=_MOST)
        for entry in entries.holders():
            # An owner that asks again gets its own permit, which can be released.
            permit = entries.claim(weight=entry.weight, owner=entry.owner)
            if permit is not None:
                permit.release()

    # --- fixed windows ---------------------------------------------------------------------------

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Count hits in the window that the first of them began; count once, also when a reply is lost."""
        return self.coordinator.kv.incr(key, amount, ttl=expiry, keep_ttl=True)

    def get(self, key: str) -> int:
        """Return the hits of the present window."""
        return self.coordinator.kv.get_int(key)

    def get_expiry(self, key: str) -> float:
        """Return the time at which the window ends; now when there is none."""
        return time.time() + _Counters(self.coordinator).left(key)

    # --- moving windows --------------------------------------------------------------------------

    def acquire_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        """Add ``amount`` hits unless more than ``limit`` would be in the last ``expiry`` seconds."""
        if not 1 <= amount <= limit:
            return amount < 1
        return self.coordinator.semaphore(key, limit=limit).claim(ttl=expiry, weight=amount) is not None

    def get_moving_window(self, key: str, limit: int, expiry: int) -> tuple[float, int]:
        """Return the time of the oldest hit in the last ``expiry`` seconds, or now, and the number of hits."""
        entries = self.coordinator.semaphore(key, limit=limit).holders()
        oldest = min((entry.expires_in for entry in entries), default=float(expiry))
        return time.time() + oldest - expiry, sum(entry.weight for entry in entries)


class GcraRateLimiter(RateLimiter):
    """A strategy of limits that is ``coord.limiter``: bursts up to the amount, then an even pace."""

    def __init__(self, storage: CoordStorage) -> None:
        super().__init__(storage)
        self._coordinator = storage.coordinator

    def hit(self, item: RateLimitItem, *identifiers: str, cost: int = 1) -> bool:
        """Admit ``cost`` and return True; otherwise change nothing."""
        return bool(cost <= item.amount and self._limiter(item, identifiers).hit(cost).allowed)

    def test(self, item: RateLimitItem, *identifiers: str, cost: int = 1) -> bool:
        """Return whether ``hit`` would admit ``cost``."""
        return bool(cost <= item.amount and self._limiter(item, identifiers).peek(cost).allowed)

    def get_window_stats(self, item: RateLimitItem, *identifiers: str) -> WindowStats:
        """Return the time at which the limit is full again, and how much it admits now."""
        verdict = self._limiter(item, identifiers).peek()
        return WindowStats(time.time() + verdict.reset_after, verdict.remaining)

    def clear(self, item: RateLimitItem, *identifiers: str) -> None:
        """Make the limit full."""
        self._limiter(item, identifiers).reset()

    def _limiter(self, item: RateLimitItem, identifiers: tuple[str, ...]) -> coord.Limiter[Any]:
        limit = coord.Limit(item.amount, per=item.get_expiry())
        return self._coordinator.limiter(item.key_for(*identifiers), limit)
