"""Rate limiters and a barrier with the interface of dramatiq's, over coord.

    limiter = ConcurrentRateLimiter(coord.connect("redis://host:6379/0"), "reports", limit=4)
    with limiter.acquire():
        ...

The backend is a coordinator. dramatiq's backends keep counters, and so they lose a slot for its whole TTL with each
worker that dies, count in the time of each worker, and let a barrier fire again. Here:

- ``ConcurrentRateLimiter`` holds a permit of a semaphore, renewed while the block runs. ``ttl`` can be short: it is
  how long the slot of a dead worker stays taken.
- ``BucketRateLimiter`` spends from a quota, whose windows are the same buckets, in the time of the server.
- ``WindowRateLimiter`` takes permits that it never releases: each ends one window later.
- ``Barrier`` is a barrier: it fires once, and a member that comes twice counts once.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from dramatiq.rate_limits import RateLimiter, RateLimitExceeded

import coord

__all__ = ["Barrier", "BucketRateLimiter", "ConcurrentRateLimiter", "WindowRateLimiter"]


class ConcurrentRateLimiter(RateLimiter):
    """At most ``limit`` blocks run at once. ``ttl``: milliseconds after which the slot of a dead worker is free."""

    def __init__(self, backend: coord.Coordinator, key: str, *, limit: int = 1, ttl: int = 900_000) -> None:
        super().__init__(backend, key)
        self._semaphore = backend.semaphore(key, limit=limit)
        self._ttl = ttl / 1000

    @contextmanager
    def acquire(self, *, raise_on_failure: bool = True) -> Iterator[bool]:
        """Run a block in a slot if one is free; leaving raises ``LeaseLost`` if the slot was lost meanwhile."""
        with ExitStack() as block:
            acquired = True
            try:
                block.enter_context(self._semaphore.hold(ttl=self._ttl, wait=0))
            except coord.WaitTimeout:
                acquired = False
            if raise_on_failure and not acquired:
                raise RateLimitExceeded(f"rate limit exceeded for key {self.key!r}")
            yield acquired


class BucketRateLimiter(RateLimiter):
    """At most ``limit`` in each bucket of ``bucket`` milliseconds."""

    def __init__(self, backend: coord.Coordinator, key: str, *, limit: int = 1, bucket: int = 1000) -> None:
        super().__init__(backend, key)
        self._quota = backend.quota(key, coord.Limit(limit, per=bucket / 1000))

    def _acquire(self) -> bool:
        return self._quota.spend(1)

    def _release(self) -> None:
        """Do nothing: what was spent stays spent until the bucket ends."""


class WindowRateLimiter(RateLimiter):
    """At most ``limit`` in the last ``window`` seconds, whenever one looks. Each admission costs about 100 bytes.

    ``coord.limiter`` takes three integers whatever the limit, and admits nearly twice as much in one window.
    """

    def __init__(self, backend: coord.Coordinator, key: str, *, limit: int = 1, window: int = 1) -> None:
        super().__init__(backend, key)
        self._admitted = backend.semaphore(f"{key} window", limit=limit)
        self._window = window

    def _acquire(self) -> bool:
        return self._admitted.claim(ttl=self._window) is not None

    def _release(self) -> None:
        """Do nothing: an admission ends with its window."""


class Barrier:
    """A barrier of a number of parties. ``ttl``: milliseconds that it is kept after each change."""

    def __init__(self, backend: coord.Coordinator, key: str, *, ttl: int = 900_000) -> None:
        self._barrier = backend.barrier(key)
        self._ttl = ttl / 1000

    def create(self, parties: int) -> bool:
        """Create the barrier; False when it is there."""
        if self._barrier.status() is not None:
            return False
        mine = uuid.uuid4().hex
        # Of creations at the same time one opens it: all have the same operation id.
        self._barrier.open(parties, ttl=self._ttl, metadata={"creation": mine}, op_id="create")
        status = self._barrier.status()
        return status is not None and status.metadata == {"creation": mine}

    def wait(self, *, block: bool = True, timeout: int | None = None, member: str | None = None) -> bool:
        """Count a party as arrived; return whether all have arrived, at once or within ``timeout`` milliseconds.

        ``member``: a name, such as the id of a message, which counts once however often it is delivered. Raises
        ``MissingBarrier`` when the barrier was not created or has expired.
        """
        arrival = self._barrier.arrive(member or uuid.uuid4().hex)
        if arrival.remaining == 0 or not block:
            return arrival.remaining == 0
        try:
            status = self._barrier.wait(timeout=None if timeout is None else timeout / 1000)
        except coord.WaitTimeout:
            return False
        return status.state == "complete"
