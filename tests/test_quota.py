"""Quotas: budgets in fixed windows, with reservations that are settled or cancelled exactly once."""

from __future__ import annotations

import random
from typing import Any

import pytest
from backends import Backend, assert_all_expire

import coord
from coord import Limit

MINUTE, DAY = Limit(100, per=60), Limit(150, per=86_400)


def counts(quota: Any) -> list[tuple[int, int]]:
    """What is spent and held in each window."""
    return [(each.spent, each.held) for each in quota.status()]


@pytest.fixture
def settled(backend: Backend) -> Backend:
    """A backend whose clock is at the beginning of a day."""
    us = backend.clock.now_us
    backend.later((86_400_000_000 - us % 86_400_000_000) / 1e6)
    return backend


def test_a_reservation_is_settled_for_what_was_spent(settled: Backend, c: Any) -> None:
    quota = c.quota("team", MINUTE, DAY)
    reservation = quota.reserve(60, ttl=30)
    assert reservation.amount == 60
    assert 0 < reservation.expires_in <= 30
    assert counts(quota) == [(0, 60), (0, 60)]
    assert quota.reserve(60) is None
    assert reservation.settle(13) is True
    assert counts(quota) == [(13, 0), (13, 0)]
    assert reservation.settle(13) is False
    assert reservation.cancel() is False
    assert counts(quota) == [(13, 0), (13, 0)]
    status = quota.status()[0]
    assert status.limit == MINUTE
    assert status.remaining == 87
    assert 0 < status.resets_in <= 60
    assert_all_expire(settled)


def test_a_reservation_without_a_number_is_settled_for_its_amount(settled: Backend, c: Any) -> None:
    quota = c.quota("team", MINUTE)
    assert quota.reserve(60).settle() is True
    assert quota.reserve(40).cancel() is True
    assert counts(quota) == [(60, 0)]


def test_settling_above_the_amount_is_recorded(settled: Backend, c: Any) -> None:
    """What was spent is spent: it is debt until the window ends, and nothing remains."""
    quota = c.quota("team", MINUTE)
    assert quota.reserve(60).settle(250) is True
    status = quota.status()[0]
    assert (status.spent, status.remaining) == (250, 0)
    assert quota.spend(1) is False
    settled.later(60)
    assert quota.spend(100) is True


def test_all_windows_or_none(settled: Backend, c: Any) -> None:
    quota = c.quota("team", MINUTE, DAY)
    assert quota.spend(100) is True
    assert quota.spend(1) is False
    settled.later(60)
    assert quota.reserve(60) is None
    assert counts(quota) == [(0, 0), (100, 0)]
    assert quota.reserve(50) is not None
    assert counts(quota) == [(0, 50), (100, 50)]


def test_what_nobody_settles_returns_at_its_ttl(settled: Backend, c: Any) -> None:
    """A holder that died holds nothing from its deadline on; what it settles late is still booked."""
    quota = c.quota("team", MINUTE)
    dead, late = quota.reserve(40, ttl=10), quota.reserve(60, ttl=10)
    settled.later(9.999)
    assert quota.reserve(1) is None
    settled.later(0.001)
    assert counts(quota) == [(0, 0)]
    assert quota.reserve(100) is not None
    assert late.settle(30) is True
    assert counts(quota) == [(30, 100)]
    settled.later(61)
    assert dead.settle(30) is False


def test_a_window_that_turns_keeps_what_was_reserved_in_it(settled: Backend, c: Any) -> None:
    """The spent amount belongs to the window of the reservation, not to the one in which it is settled."""
    quota = c.quota("team", MINUTE, DAY)
    settled.later(59)
    reservation = quota.reserve(60, ttl=30)
    settled.later(1)
    assert counts(quota) == [(0, 0), (0, 60)]
    assert reservation.settle(50) is True
    assert counts(quota) == [(0, 0), (50, 0)]


def test_windows_are_aligned_to_the_epoch(settled: Backend, c: Any) -> None:
    quota = c.quota("team", Limit(5, per=3600))
    settled.later(3599)
    assert quota.spend(5)
    assert quota.status()[0].resets_in == pytest.approx(1, abs=0.5)
    settled.later(1)
    assert quota.spend(5)


def test_a_clock_that_steps_back_turns_no_window_back(settled: Backend, c: Any) -> None:
    if settled.line.engine != "memory":
        pytest.skip("servers' keys are not moved back with the clock")
    quota = c.quota("team", MINUTE)
    assert quota.spend(100)
    settled.later(60)
    assert quota.spend(70)
    settled.clock.advance(us=-30_000_000)
    assert quota.spend(31) is False
    assert counts(quota) == [(70, 0)]


def test_the_same_id_reserves_and_spends_once(settled: Backend, c: Any) -> None:
    """A redelivered message gets its reservation again, and settles it once."""
    quota = c.quota("team", MINUTE)
    first, again = quota.reserve(40, op_id="m-1"), quota.reserve(70, op_id="m-1")
    assert again.amount == 40
    assert counts(quota) == [(0, 40)]
    assert again.settle(20) is True
    assert first.settle(20) is False
    third = quota.reserve(40, op_id="m-1")
    assert third.amount == 40
    assert third.expires_in == 0.0
    assert third.settle() is False
    assert quota.spend(30, op_id="m-1") is True
    assert quota.spend(30, op_id="m-1") is True
    assert counts(quota) == [(50, 0)]
    assert quota.spend(60, op_id="m-2") is False
    settled.later(60)
    assert quota.spend(60, op_id="m-2") is True


def test_an_id_that_was_cancelled_or_lapsed_reserves_anew(settled: Backend, c: Any) -> None:
    """An id remembers what was done: work that failed, or whose worker died, may be tried again under its id."""
    quota = c.quota("team", DAY)
    quota.reserve(40, op_id="m-1").cancel()
    dead = quota.reserve(30, ttl=10, op_id="m-1")
    assert dead.amount == 30
    settled.later(10)
    alive = quota.reserve(20, op_id="m-1")
    assert alive.amount == 20
    assert dead.settle() is False
    assert alive.settle() is True
    assert counts(quota) == [(20, 0)]


def test_a_reservation_is_renewed(settled: Backend, c: Any) -> None:
    quota = c.quota("team", MINUTE)
    reservation = quota.reserve(40, ttl=10)
    settled.later(9)
    assert reservation.renew() is True
    settled.later(9)
    assert counts(quota) == [(0, 40)]
    assert reservation.renew(ttl=30) is True
    settled.later(11)
    assert counts(quota) == [(0, 40)]
    settled.later(20)
    assert reservation.renew() is False
    assert quota.reserve(100) is not None


def test_keys_leave_with_their_windows(settled: Backend, c: Any) -> None:
    quota = c.quota("team", MINUTE)
    quota.reserve(40, ttl=10).settle()
    quota.reserve(40, ttl=10)
    settled.later(75)
    assert settled.stored == {}


def test_a_block_settles_its_amount(settled: Backend, c: Any) -> None:
    quota = c.quota("team", MINUTE)
    with quota.hold(40) as reservation:
        assert reservation.amount == 40
        assert counts(quota) == [(0, 40)]
    assert counts(quota) == [(40, 0)]
    with quota.hold(40) as reservation:
        reservation.settle(3)
    assert counts(quota) == [(43, 0)]


def test_a_block_that_raises_cancels(settled: Backend, c: Any) -> None:
    quota = c.quota("team", MINUTE)
    with pytest.raises(KeyError), quota.hold(40):
        raise KeyError
    assert counts(quota) == [(0, 0)]


def test_a_block_without_room_is_not_entered(settled: Backend, c: Any) -> None:
    quota = c.quota("team", MINUTE, DAY)
    quota.spend(70)
    with pytest.raises(coord.QuotaExceeded, match="no room for 40") as raised, quota.hold(40):
        pytest.fail("it was entered")
    assert raised.value.limit == MINUTE
    assert 0 < raised.value.retry_after <= 60


def test_a_block_whose_reservation_was_ended_elsewhere_says_so(settled: Backend, c: Any) -> None:
    quota = c.quota("team", MINUTE)
    with pytest.raises(coord.LeaseLost), quota.hold(40, op_id="m-1", renew=False):
        assert quota.reserve(40, op_id="m-1").cancel() is True
    assert counts(quota) == [(0, 0)]


def test_of_many_at_once_no_more_than_the_limit_is_admitted(settled: Backend, c: Any) -> None:
    """Pitfall 38: a check and a booking in two steps admit more than there is."""
    limit = Limit(5, per=3600)
    assert sum(each is not None for each in settled.race(lambda at: at.quota("team", limit).reserve(1))) == 5
    assert sum(settled.race(lambda at: at.quota("spend", limit).spend(1))) == 5


def test_any_history_is_that_of_the_model(settled: Backend, c: Any) -> None:
    """Random histories at the millisecond: spent and held are those of a plain model, and never above the limit."""
    if settled.line.engine == "fakeredis" or (
        settled.line.engine != "memory" and type(settled.clock).__name__ != "VirtualClock"
    ):
        pytest.skip("the clock does not stand still between two calls")
    drawn = random.Random(7)
    quota = c.quota("team", Limit(20, per=8), Limit(50, per=40))
    model = Model([(20, 8000), (50, 40_000)])
    mine: list[tuple[Any, Any]] = []
    for _ in range(150):
        now = settled.clock.now_us // 1000
        what, amount = drawn.choice(["reserve", "reserve", "settle", "cancel", "spend"]), drawn.randint(1, 9)
        if what == "reserve":
            ttl = drawn.choice([5_000, 8_000, 20_000])
            got, wanted = quota.reserve(amount, ttl=ttl / 1000), model.reserve(amount, now, ttl)
            assert (got is None) == (wanted is None)
            if got is not None:
                mine.append((got, wanted))
        elif what == "spend":
            assert quota.spend(amount) == model.spend(amount, now)
        elif mine:
            got, wanted = drawn.choice(mine)
            actual = 0 if what == "cancel" else drawn.randint(0, 12)
            assert (got.cancel() if what == "cancel" else got.settle(actual)) == model.settle(wanted, actual, now)
        assert counts(quota) == model.counts(now)
        settled.later(drawn.choice([0, 0, 0.001, 0.999, 1, 4.999, 5]))


class Model:
    """A quota as a list of reservations and bookings."""

    def __init__(self, limits: list[tuple[int, int]]) -> None:
        self.limits = limits
        self.booked: list[tuple[int, int]] = []
        self.reservations: list[dict[str, int]] = []

    def counts(self, now: int) -> list[tuple[int, int]]:
        found = []
        for _, per in self.limits:
            window = now // per
            spent = sum(amount for at, amount in self.booked if at // per == window)
            held = [
                each["amount"]
                for each in self.reservations
                if not each["over"] and each["deadline"] > now and each["at"] // per == window
            ]
            found.append((spent, sum(held)))
        return found

    def fits(self, amount: int, now: int) -> bool:
        counts = self.counts(now)
        return all(spent + held + amount <= most for (most, _), (spent, held) in zip(self.limits, counts, strict=True))

    def reserve(self, amount: int, now: int, ttl: int) -> dict[str, int] | None:
        if not self.fits(amount, now):
            return None
        made = {"amount": amount, "at": now, "deadline": now + ttl, "until": now + ttl + 60_000, "over": 0}
        self.reservations.append(made)
        return made

    def spend(self, amount: int, now: int) -> bool:
        fits = self.fits(amount, now)
        if fits:
            self.booked.append((now, amount))
        return fits

    def settle(self, made: dict[str, int], actual: int, now: int) -> bool:
        if made["over"] or now > made["until"]:
            return False
        made["over"] = 1
        self.booked.append((made["at"], actual))
        return True


def test_bad_input_is_refused_before_anything_is_sent(settled: Backend, c: Any) -> None:
    quota = c.quota("team", Limit(9, per=60), Limit(5, per=3600))
    reservation = quota.reserve(1)
    with settled.untouched():
        for limits in ((), (MINUTE, Limit(7, per=60)), (Limit(7, per=60, burst=7),)):
            with pytest.raises(ValueError, match=r"[Ll]imit"):
                c.quota("team", *limits)
        with pytest.raises(TypeError):
            c.quota("team", 7)
        for ask in (quota.reserve, quota.spend, quota.hold):
            for amount in (0, -1, 6, True):
                with pytest.raises(ValueError, match="amount"):
                    ask(amount)
            with pytest.raises(TypeError):
                ask(1.0)
        for ttl in (0, -1, float("nan"), True):
            with pytest.raises(ValueError, match="ttl"):
                quota.reserve(1, ttl=ttl)
        with pytest.raises(ValueError, match="op_id"):
            quota.reserve(1, op_id="")
        for actual in (-1, 10**15 + 1, True):
            with pytest.raises(ValueError, match="actual"):
                reservation.settle(actual)
        with pytest.raises(TypeError):
            reservation.settle(1.5)


def test_an_amount_that_leaves_53_bits_changes_nothing(settled: Backend, c: Any) -> None:
    quota = c.quota("team", Limit(10**15, per=60))
    reservation = quota.reserve(1)
    settled.place.do("HSET", "coord:quota:{team}", "60000", _with_spent(settled, 2**53 - 1))
    with settled.untouched_keys(), pytest.raises(coord.CountOverflow):
        reservation.settle(1)


def _with_spent(backend: Backend, spent: int) -> str:
    number, _, held = backend.values["coord:quota:{team}"][1]["60000"].split("|")
    return f"{number}|{spent}|{held}"
