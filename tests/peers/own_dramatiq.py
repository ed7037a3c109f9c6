"""The rate limiters and the barrier for dramatiq, where dramatiq's own tests do not look."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from dramatiq.rate_limits import RateLimitExceeded

import coord
from examples.dramatiq_rate_limits import Barrier, BucketRateLimiter, ConcurrentRateLimiter, WindowRateLimiter


@pytest.fixture
def c() -> Iterator[coord.Coordinator]:
    with coord.connect(os.environ["PEER_URL"]) as made:
        yield made


@pytest.fixture
def name() -> str:
    return uuid.uuid4().hex


def test_the_slot_of_a_dead_worker_comes_back(c: coord.Coordinator, name: str) -> None:
    limiter = ConcurrentRateLimiter(c, name, limit=1, ttl=300)

    def die() -> None:
        with (
            coord.connect(os.environ["PEER_URL"]) as dead,
            ConcurrentRateLimiter(dead, name, limit=1, ttl=300).acquire(),
        ):
            with pytest.raises(RateLimitExceeded), limiter.acquire():
                pass
            # Nothing renews the slot any more, as after a kill.
            dead.close()
            while not _acquires(limiter):
                pass

    with pytest.raises(coord.LeaseLost):
        die()


def _acquires(limiter: Any) -> bool:
    with limiter.acquire(raise_on_failure=False) as acquired:
        return bool(acquired)


def test_an_error_of_the_block_frees_the_slot(c: coord.Coordinator, name: str) -> None:
    limiter = ConcurrentRateLimiter(c, name)
    with pytest.raises(ZeroDivisionError), limiter.acquire():
        raise ZeroDivisionError
    with limiter.acquire() as acquired:
        assert acquired


def test_buckets_and_windows_have_their_limits(c: coord.Coordinator, name: str) -> None:
    bucket = BucketRateLimiter(c, name, limit=3, bucket=86_400_000)
    window = WindowRateLimiter(c, name, limit=3, window=600)
    assert [_acquires(bucket) for _ in range(5)] == [True] * 3 + [False] * 2
    assert [_acquires(window) for _ in range(5)] == [True] * 3 + [False] * 2


def test_a_barrier_is_created_once_and_counts_each_member_once(c: coord.Coordinator, name: str) -> None:
    with ThreadPoolExecutor(8) as pool:
        created = list(pool.map(lambda _: Barrier(c, name).create(2), range(8)))
    assert sum(created) == 1
    barrier = Barrier(c, name)
    assert not barrier.wait(block=False, member="message-1")
    assert not barrier.wait(block=False, member="message-1"), "delivered twice, it counts once"
    assert barrier.wait(block=False, member="message-2")


def test_a_barrier_that_was_not_created_does_not_fire(c: coord.Coordinator, name: str) -> None:
    with pytest.raises(coord.MissingBarrier):
        Barrier(c, name).wait(block=False)
