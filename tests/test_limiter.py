"""Rate limiters: at most so much in so much time, by the server's clock."""

from __future__ import annotations

import random
from fractions import Fraction
from typing import Any

import pytest
from backends import Backend, assert_all_expire

import coord
from coord import Limit

KEY = "coord:limiter:{api}"


def test_a_burst_passes_at_once_and_then_the_rate(backend: Backend, c: Any) -> None:
    """A limiter starts full; what is refused says when to come again, and takes nothing."""
    limiter = c.limiter("api", Limit(3, per=60))
    assert [limiter.hit().remaining for _ in range(3)] == [2, 1, 0]
    for _ in range(2):
        refused = limiter.hit()
        assert not refused
        assert refused.allowed is False
        assert refused.remaining == 0
        assert refused.retry_after == pytest.approx(20, abs=1)
        assert refused.reset_after == pytest.approx(60, abs=1)
        assert refused.limit == Limit(3, per=60)
    backend.later(20)
    passed = limiter.hit()
    assert passed.allowed is True
    assert passed.retry_after == 0.0
    assert passed.limit is None
    assert not limiter.hit()
    assert_all_expire(backend)


def test_several_limits_pass_together_or_not_at_all(c: Any) -> None:
    """A cost that one limit refuses takes nothing from the others; the verdict names the one that waits longest."""
    hour, minute = Limit(4, per=3600), Limit(3, per=60)
    limiter = c.limiter("api", minute, hour)
    assert limiter.hit(3).remaining == 0
    refused = limiter.hit()
    assert refused.limit == minute
    assert c.limiter("api", hour).peek().remaining == 1
    assert c.limiter("api", hour).hit()
    assert limiter.hit().limit == hour
    assert limiter.hit().retry_after == pytest.approx(900, abs=1)


def test_the_state_belongs_to_name_amount_and_time(c: Any) -> None:
    """Another burst judges the same state; another amount or name has a state of its own."""
    assert c.limiter("api", Limit(2, per=60)).hit(2)
    assert not c.limiter("api", Limit(2, per=60.0)).hit()
    assert c.limiter("api", Limit(2, per=60, burst=3)).hit()
    assert c.limiter("api", Limit(3, per=60)).hit(3)
    assert c.limiter("other", Limit(2, per=60)).hit(2)


def test_a_burst_of_one_paces(backend: Backend, c: Any) -> None:
    limiter = c.limiter("api", Limit(10, per=10, burst=1))
    assert limiter.hit()
    assert not limiter.hit()
    backend.later(0.5)
    assert not limiter.hit()
    backend.later(0.5)
    assert limiter.hit()


def test_peek_changes_nothing(backend: Backend, c: Any) -> None:
    limiter = c.limiter("api", Limit(3, per=60))
    limiter.hit()
    with backend.untouched_keys():
        assert limiter.peek().remaining == 2
        assert limiter.peek(2).allowed is True
        assert limiter.peek(3).allowed is False
        assert limiter.peek(3).retry_after == pytest.approx(20, abs=1)


def test_a_refund_gives_back_and_never_makes_more_than_full(backend: Backend, c: Any) -> None:
    limiter = c.limiter("api", Limit(3, per=60))
    limiter.hit(3)
    assert limiter.refund(2) is None
    assert limiter.peek().remaining == 2
    limiter.refund(3)
    assert limiter.peek().remaining == 3
    assert KEY not in backend.stored
    limiter.refund(3)
    assert limiter.peek().remaining == 3


def test_a_penalty_stops_all_instances(backend: Backend, c: Any) -> None:
    """A 429's Retry-After holds for every limit of the name; the latest end counts, and refunds do not shorten it."""
    limiter = c.limiter("api", Limit(3, per=1))
    assert limiter.penalize(30) is None
    limiter.penalize(10)
    limiter.refund()
    for verdict in (limiter.hit(), limiter.peek(), c.limiter("api", Limit(99, per=7)).hit()):
        assert verdict.allowed is False
        assert verdict.limit is None
        assert verdict.remaining == 0
        assert verdict.retry_after == pytest.approx(30, abs=1)
        assert verdict.reset_after == pytest.approx(30, abs=1)
    assert_all_expire(backend)
    backend.later(30.001)
    assert limiter.hit(3)


def test_a_penalty_does_not_stop_the_refill(backend: Backend, c: Any) -> None:
    limiter = c.limiter("api", Limit(3, per=3))
    limiter.hit(3)
    limiter.penalize(2)
    backend.later(2.001)
    assert limiter.hit(2)
    assert not limiter.hit()


def test_reset_makes_full_and_ends_a_penalty(backend: Backend, c: Any) -> None:
    limiter = c.limiter("api", Limit(3, per=60))
    assert limiter.reset() is False
    limiter.hit(3)
    limiter.penalize(60)
    assert limiter.reset() is True
    assert KEY not in backend.stored
    assert limiter.hit(3)


def test_keys_live_until_they_cannot_change_an_answer(backend: Backend, c: Any) -> None:
    """The key leaves when the limiter is full again, and not before."""
    limiter = c.limiter("api", Limit(10, per=10), Limit(2, per=60))
    limiter.hit()
    assert backend.left(KEY) == pytest.approx(30, abs=0.1)
    c.limiter("api", Limit(10, per=10)).hit()
    assert backend.left(KEY) == pytest.approx(30, abs=0.1)
    backend.later(30.002)
    assert KEY not in backend.stored


def test_the_same_id_passes_once(c: Any) -> None:
    """A message that is delivered again takes nothing more; a refusal is not remembered."""
    limiter = c.limiter("api", Limit(3, per=60))
    first = limiter.hit(2, op_id="m-1")
    assert limiter.hit(2, op_id="m-1") == first
    assert limiter.peek().remaining == 1
    assert not limiter.hit(2, op_id="m-2")
    limiter.refund(2, op_id="r-1")
    limiter.refund(2, op_id="r-1")
    assert limiter.hit(2, op_id="m-2")
    assert limiter.peek().remaining == 1
    limiter.penalize(60, op_id="p-1")
    limiter.reset(op_id="x-1")
    limiter.penalize(60, op_id="p-1")
    assert limiter.hit()
    assert limiter.reset(op_id="x-1") is True
    assert limiter.peek().remaining == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    "amounts",
    [
        [Limit(999, per=1)],
        [Limit(3, per=1), Limit(7, per=0.77, burst=5)],
        [Limit(10**15, per=1)],
        [Limit(7, per=86_400, burst=11)],
        [Limit(60, per=1), Limit(997, per=60), Limit(1000, per=61)],
    ],
    ids=str,
)
def test_verdicts_are_those_of_the_exact_model(backend: Backend, c: Any, amounts: list[Limit]) -> None:
    """Of any history, at the millisecond: verdicts equal, and never more than burst + rate * T in a time of T."""
    if backend.line.engine == "fakeredis" or not _exact(backend):
        pytest.skip("the clock does not stand still between two calls")
    drawn = random.Random(str(amounts))
    for number in range(4):
        limiter, model = c.limiter(f"api-{number}", *amounts), Model(amounts)
        most = min(limit.burst or limit.amount for limit in amounts)
        admitted: list[tuple[int, int]] = []
        for _ in range(60):
            now = backend.clock.now_us
            cost = drawn.choice([1, 1, 2, most, drawn.randint(1, most)])
            if cost <= most:
                verdict = limiter.hit(cost)
                assert verdict == model.hit(cost, now), (number, now, cost)
                if verdict.allowed:
                    admitted.append((now, cost))
            backend.later(drawn.choice([0, 0, 0.001, 0.002, 0.333, 0.334, drawn.randint(1, 3000) / 1000]))
        for limit in amounts:
            assert_never_more(limit, admitted)


def test_a_full_burst_passes_in_any_pieces(backend: Backend, c: Any) -> None:
    """Times that no microsecond divides are not rounded away: 999 single hits pass at one moment, and then none."""
    if not _exact(backend):
        pytest.skip("the clock does not stand still between two calls")
    limiter = c.limiter("api", Limit(199, per=1))
    assert all(limiter.hit() for _ in range(199))
    assert limiter.hit().retry_after == pytest.approx(1 / 199, abs=1e-6)
    backend.later(0.006)
    assert limiter.hit()
    assert not limiter.hit()


def _exact(backend: Backend) -> bool:
    """Whether the time of the keys is that of the clock, to the microsecond."""
    return backend.line.engine == "memory" or type(backend.clock).__name__ == "VirtualClock"


def assert_never_more(limit: Limit, admitted: list[tuple[int, int]]) -> None:
    """Look at every window that begins and ends with a hit."""
    rate, burst = Fraction(limit.amount, limit.per_ms * 1000), limit.burst or limit.amount
    for first in range(len(admitted)):
        total = 0
        for now, cost in admitted[first:]:
            total += cost
            assert total <= burst + rate * (now - admitted[first][0])


class Model:
    """GCRA in fractions of microseconds."""

    def __init__(self, limits: list[Limit]) -> None:
        self.limits = limits
        self.tats = [Fraction(0)] * len(limits)

    def hit(self, cost: int, now: int) -> coord.Verdict:
        units = [Fraction(limit.per_ms * 1000, limit.amount) for limit in self.limits]
        bursts = [limit.burst or limit.amount for limit in self.limits]
        before = [max(tat, Fraction(now)) for tat in self.tats]
        after = [tat + cost * unit for tat, unit in zip(before, units, strict=True)]
        waits = [-(-(tat - now - burst * unit) // 1) for tat, burst, unit in zip(after, bursts, units, strict=True)]
        longest = max(waits)
        if longest <= 0:
            self.tats = before = after
        left = [(burst * unit - (tat - now)) // unit for tat, burst, unit in zip(before, bursts, units, strict=True)]
        return coord.Verdict(
            allowed=longest <= 0,
            remaining=int(max(0, min(left))),
            retry_after=max(0, int(longest)) / 1e6,
            reset_after=int(max(-(-(tat - now) // 1) for tat in before)) / 1e6,
            limit=None if longest <= 0 else self.limits[waits.index(longest)],
        )


# --- bad input -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: Limit(0, per=1), ValueError),
        (lambda: Limit(-1, per=1), ValueError),
        (lambda: Limit(True, per=1), ValueError),
        (lambda: Limit(1.5, per=1), TypeError),  # type: ignore[arg-type]  # the test is about it
        (lambda: Limit("1", per=1), TypeError),  # type: ignore[arg-type]  # the same
        (lambda: Limit(10**15 + 1, per=1), ValueError),
        (lambda: Limit(1, per=0), ValueError),
        (lambda: Limit(1, per=-1), ValueError),
        (lambda: Limit(1, per=float("nan")), ValueError),
        (lambda: Limit(1, per=True), ValueError),
        (lambda: Limit(1, per="1"), TypeError),  # type: ignore[arg-type]  # the same
        (lambda: Limit(1, per=1, burst=0), ValueError),
        (lambda: Limit(1, per=1, burst=1.0), TypeError),  # type: ignore[arg-type]  # the same
        (lambda: Limit(1, per=86_400, burst=4000), ValueError),
    ],
)
def test_a_bad_limit_is_refused(make: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        make()


def test_bad_input_is_refused_before_anything_is_sent(backend: Backend, c: Any) -> None:
    limiter = c.limiter("api", Limit(3, per=60), Limit(9, per=60, burst=2))
    limiter.hit()
    with backend.untouched():
        for limits in ((), (Limit(3, per=60), Limit(3, per=60, burst=1)), [Limit(1, per=n + 1) for n in range(101)]):
            with pytest.raises(ValueError, match="limit"):
                c.limiter("api", *limits)
        with pytest.raises(TypeError):
            c.limiter("api", 3)
        with pytest.raises(ValueError, match="name"):
            c.limiter("", Limit(3, per=60))
        for ask in (limiter.hit, limiter.peek, limiter.refund):
            for cost in (0, -1, 3, True):
                with pytest.raises(ValueError, match="cost"):
                    ask(cost)
            with pytest.raises(TypeError):
                ask(1.0)
        for seconds in (0, -1, float("inf"), True):
            with pytest.raises(ValueError, match="penalty"):
                limiter.penalize(seconds)


# --- many at once --------------------------------------------------------------------------------


def test_of_many_at_once_no_more_than_the_burst_pass(backend: Backend, c: Any) -> None:
    verdicts = backend.race(lambda at: at.limiter("api", Limit(5, per=3600)).hit())
    assert sum(verdict.allowed for verdict in verdicts) == 5
