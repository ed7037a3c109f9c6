"""The contract of a backend, as a suite of tests for your own.

A backend is a class with ``from_config(config)`` that returns a coordinator, or an object that makes calls. Its test is

    from coord.testing.contract import BackendContract

    class TestMyBackend(BackendContract):
        @pytest.fixture
        def c(self):
            with coord.from_config({"backend": "my_package.MyBackend"}) as c:
                yield c

The fixture ``c`` is a blocking coordinator on an empty keyspace. Each test says in its name what has to hold.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from coord.coordinator import Coordinator
from coord.errors import (
    CoordError,
    CountOverflow,
    LeaseLost,
    MissingBarrier,
    MissingRequest,
    WaitTimeout,
    WrongType,
)

__all__ = ["BackendContract"]

_THREADS = 8
_MOST = 2**63 - 1


class BackendContract:
    """Subclass it, and give it a fixture ``c``."""

    @pytest.fixture
    def c(self) -> Coordinator:
        """A coordinator on an empty keyspace."""
        raise pytest.UsageError(f"{type(self).__name__} needs a fixture c: a coordinator on an empty keyspace")

    # --- claims ----------------------------------------------------------------------------------

    def test_once_is_true_for_one_caller_per_window(self, c: Coordinator) -> None:
        assert c.once("mail", ttl=60)
        assert not c.once("mail", ttl=60)
        assert c.forget("mail")
        assert c.once("mail", ttl=60)

    def test_once_is_true_again_for_its_owner(self, c: Coordinator) -> None:
        assert c.once("mail", owner="message-1")
        assert c.once("mail", owner="message-1")
        assert not c.once("mail", owner="message-2")
        assert not c.forget("mail", owner="message-2")

    def test_of_many_threads_one_gets_the_claim(self, c: Coordinator) -> None:
        ready = threading.Barrier(_THREADS)

        def claim(_: int) -> Any:
            ready.wait()
            return c.claim("job", ttl=60)

        with ThreadPoolExecutor(_THREADS) as pool:
            leases = list(pool.map(claim, range(_THREADS)))
        assert sum(lease is not None for lease in leases) == 1

    def test_a_claim_says_who_has_it(self, c: Coordinator) -> None:
        assert c.holder("job") is None
        lease = c.claim("job", ttl=60, owner="anna")
        assert lease is not None
        held = c.holder("job")
        assert held is not None
        assert (held.owner, held.fence) == ("anna", lease.fence)
        assert 0 < held.expires_in <= 60

    def test_fences_grow_from_grant_to_grant(self, c: Coordinator) -> None:
        fences: list[int] = []
        for _ in range(3):
            lease = c.claim("job", ttl=60)
            assert lease is not None
            fences.append(lease.fence)
            assert lease.release()
        assert fences == sorted(set(fences))

    def test_a_released_lease_is_over(self, c: Coordinator) -> None:
        lease = c.claim("job", ttl=60)
        assert lease is not None
        assert lease.renew()
        assert lease.release()
        assert not lease.release()
        assert not lease.renew()
        with pytest.raises(LeaseLost):
            lease.ensure_held()

    def test_the_same_owner_gets_its_own_lease(self, c: Coordinator) -> None:
        first, second = c.claim("job", owner="anna"), c.claim("job", owner="anna")
        assert first is not None
        assert second is not None
        assert first.fence == second.fence

    def test_hold_waits_for_the_release(self, c: Coordinator) -> None:
        lease = c.claim("job", ttl=60)
        assert lease is not None
        held = threading.Event()

        def wait() -> None:
            with c.hold("job", ttl=60, wait=30):
                held.set()

        waiter = threading.Thread(target=wait)
        waiter.start()
        assert lease.release()
        assert held.wait(30)
        waiter.join()
        assert c.holder("job") is None

    def test_hold_gives_up_in_time(self, c: Coordinator) -> None:
        assert c.claim("job", ttl=60) is not None
        with pytest.raises(WaitTimeout), c.hold("job", wait=0):
            pass

    # --- versions, statistics --------------------------------------------------------------------

    def test_versions_grow(self, c: Coordinator) -> None:
        assert c.version("page") == 0
        first, second = c.bump("page"), c.bump("page")
        assert 0 < first < second == c.version("page")
        assert c.is_stale("page", first)
        assert not c.is_stale("page", second)

    def test_only_the_newest_version_is_bumped(self, c: Coordinator) -> None:
        version = c.bump("page")
        assert c.bump_if_current("page", version).bumped
        answer = c.bump_if_current("page", version)
        assert (answer.bumped, answer.version) == (False, c.version("page"))

    def test_counts_are_consumed_once(self, c: Coordinator) -> None:
        stats = c.stats("embedding")
        with ThreadPoolExecutor(_THREADS) as pool:
            for future in [pool.submit(stats.merge, "r", processed=1, errors=-1) for _ in range(100)]:
                future.result()
        assert stats.peek("r") == {"processed": 100, "errors": -100}
        assert stats.consume("r") == {"processed": 100, "errors": -100}
        assert stats.consume("r") is None

    def test_an_operation_id_counts_once(self, c: Coordinator) -> None:
        stats = c.stats("embedding")
        for _ in range(2):
            stats.merge("r", processed=5, op_id="message-1")
        assert stats.peek("r") == {"processed": 5}
        assert c.kv.incr("n", 5, op_id="message-1") == c.kv.incr("n", 5, op_id="message-1") == 5

    def test_an_overflow_changes_nothing(self, c: Coordinator) -> None:
        stats = c.stats("embedding")
        stats.merge("r", a=1, b=_MOST)
        with pytest.raises(CountOverflow):
            stats.merge("r", a=1, b=1)
        assert stats.peek("r") == {"a": 1, "b": _MOST}

    # --- barriers, requests ----------------------------------------------------------------------

    def test_one_arrival_completes_a_barrier(self, c: Coordinator) -> None:
        barrier = c.barrier("batch")
        barrier.open(parties=_THREADS)
        with ThreadPoolExecutor(_THREADS) as pool:
            arrivals = list(pool.map(barrier.arrive, [f"part-{number}" for number in range(_THREADS)]))
        assert sum(arrival.completed for arrival in arrivals) == 1
        assert sorted(arrival.remaining for arrival in arrivals) == list(range(_THREADS))
        assert not barrier.arrive("part-0").counted
        assert barrier.wait(timeout=30).state == "complete"

    def test_opening_again_begins_a_new_attempt(self, c: Coordinator) -> None:
        barrier = c.barrier("batch")
        first = barrier.open(parties=2)
        second = barrier.open(parties=2)
        assert not barrier.arrive("a", attempt=first).counted
        assert barrier.arrive("a", attempt=second).counted

    def test_a_barrier_that_was_never_opened_is_missing(self, c: Coordinator) -> None:
        assert c.barrier("batch").status() is None
        with pytest.raises(MissingBarrier):
            c.barrier("batch").arrive("a")

    def test_a_request_is_complete_when_all_its_work_is_done(self, c: Coordinator) -> None:
        request = c.request("r")
        assert not request.add("embed", "page-1"), "it is not registered"
        request.register()
        assert request.add("embed", "page-1")
        assert not request.is_complete()
        request.done("embed", "page-1", processed=3)
        assert request.is_complete()
        assert request.wait(timeout=30)["embed"].processed == 3
        assert request.cleanup()
        with pytest.raises(MissingRequest):
            request.wait(timeout=1)

    # --- primitives, calls, errors ---------------------------------------------------------------

    def test_primitives(self, c: Coordinator) -> None:
        assert c.kv.get_int("n", default=7) == 7
        assert (c.kv.incr("n", 5), c.kv.incr("n", -2), c.kv.get_int("n")) == (5, 3, 3)
        assert (c.kv.set_if_absent("flag"), c.kv.set_if_absent("flag")) == (True, False)
        assert (c.kv.sadd("set", "a", "b"), c.kv.srem("set", "a"), c.kv.scard("set")) == (2, 1, 1)
        assert (c.kv.rpush("list", "a", "b"), c.kv.lrange("list")) == (2, ["a", "b"])
        assert c.kv.delete("n", "set", "no-such") == 2

    def test_many_calls_are_answered_in_order(self, c: Coordinator) -> None:
        calls = c.calls
        answers = c.run_many([calls.kv.incr("n"), calls.kv.sadd("n", "a"), calls.kv.incr("n")])
        assert (answers[0], answers[2]) == (1, 2)
        assert isinstance(answers[1], WrongType)

    def test_errors_are_coords_own(self, c: Coordinator) -> None:
        c.kv.sadd("set", "a")
        with pytest.raises(CoordError):
            c.kv.incr("set")
        with pytest.raises(ValueError, match="ttl"):
            c.claim("job", ttl=0)
        with pytest.raises(TypeError):
            c.claim(5)  # type: ignore[arg-type]  # what a caller without a type checker may write

    def test_prefixes_are_apart(self, c: Coordinator) -> None:
        assert c.once("a:b")
        assert c.once("a{b}")
        assert c.once("a%3Ab")
        assert c.stats("s").peek("a:b") is None
