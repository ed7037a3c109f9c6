"""The storage and the strategy for limits, where limits' own tests do not look."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from limits import RateLimitItemPerHour, RateLimitItemPerMinute
from limits.errors import StorageError
from limits.strategies import FixedWindowRateLimiter, MovingWindowRateLimiter, SlidingWindowCounterRateLimiter

from examples.limits_storage import CoordStorage, GcraRateLimiter

URL = f"coord+{os.environ['PEER_URL']}"


@pytest.fixture
def storage() -> Iterator[Any]:
    made = CoordStorage(URL, key_prefix=uuid.uuid4().hex)
    yield made
    made.coordinator.close()


def test_gcra_admits_a_burst_and_then_paces(storage: Any) -> None:
    limiter, limit = GcraRateLimiter(storage), RateLimitItemPerHour(10)
    assert [limiter.hit(limit, "a") for _ in range(11)] == [True] * 10 + [False]
    assert not limiter.test(limit, "a")
    full_at, remaining = limiter.get_window_stats(limit, "a")
    assert remaining == 0
    assert time.time() + 3000 < full_at < time.time() + 3700
    assert limiter.hit(limit, "b", cost=10)
    assert not limiter.hit(limit, "c", cost=11)
    limiter.clear(limit, "a")
    assert limiter.get_window_stats(limit, "a").remaining == 10


def test_two_storages_share_their_limits(storage: Any) -> None:
    other = CoordStorage(URL, key_prefix=storage.coordinator.calls.key("kv", "x").partition(":")[0])
    limit = RateLimitItemPerMinute(5)
    for kind in (FixedWindowRateLimiter, MovingWindowRateLimiter, GcraRateLimiter):
        hits = [kind(each).hit(limit, kind.__name__) for _ in range(4) for each in (storage, other)]
        assert hits == [True] * 5 + [False] * 3
    other.coordinator.close()


def test_a_fixed_window_ends_where_its_first_hit_said(storage: Any) -> None:
    limiter, limit = FixedWindowRateLimiter(storage), RateLimitItemPerMinute(5)
    assert limiter.hit(limit)
    ends = limiter.get_window_stats(limit).reset_time
    assert time.time() < ends <= time.time() + 60
    assert limiter.hit(limit)
    assert abs(limiter.get_window_stats(limit).reset_time - ends) < 1


def test_what_coord_does_not_estimate_is_refused(storage: Any) -> None:
    with pytest.raises(NotImplementedError):
        SlidingWindowCounterRateLimiter(storage)
    with pytest.raises(NotImplementedError):
        storage.reset()


def test_errors_of_coord_are_wrapped() -> None:
    storage = CoordStorage(URL, wrap_exceptions=True)
    storage.coordinator.close()
    with pytest.raises(StorageError):
        storage.incr("key", 60)
