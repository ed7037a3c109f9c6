"""Semaphores, script by script: what a permit is, who gets one, when it ends."""

from __future__ import annotations

from typing import Any

import pytest
from backends import Backend

import coord
from coord.leases import Grant
from coord.semaphore import Permits

KEY = "coord:semaphore:{gpu}"


def permits(c: Any, limit: int = 3, weight: int = 1) -> Permits:
    return Permits(c.calls, "gpu", limit, weight)


def asked(c: Any, owner: str, *, nonce: str = "", limit: int = 3, weight: int = 1, ttl_ms: int = 30_000) -> Grant:
    return c.run(permits(c, limit, weight).ask(owner, nonce or f"n-{owner}", ttl_ms))


def held(c: Any) -> list[tuple[str, int]]:
    return [(holder.owner, holder.weight) for holder in c.semaphore("gpu", limit=3).holders()]


def test_no_more_weight_than_the_limit_is_granted(c: Any) -> None:
    assert asked(c, "anna", weight=2).granted
    assert not asked(c, "ben", weight=2).granted
    assert asked(c, "carl").granted
    assert not asked(c, "dora").granted
    assert held(c) == [("anna", 2), ("carl", 1)]


@pytest.mark.parametrize("nonce", ["a|b", "a=b"])
def test_the_id_of_an_attempt_is_plain(c: Any, nonce: str) -> None:
    """A permit is kept as its parts, joined by ``|``: an id that holds a separator is refused."""
    with pytest.raises(coord.CoordError, match="its nonce is plain"):
        asked(c, "anna", nonce=nonce)
    assert held(c) == []


def test_a_refusal_says_when_the_first_permit_ends(c: Any, backend: Backend) -> None:
    asked(c, "anna", weight=3, ttl_ms=10_000)
    backend.later(4)
    assert asked(c, "ben").left == pytest.approx(6.0)


def test_fences_grow_from_grant_to_grant(c: Any, backend: Backend) -> None:
    """Also after a release, and after everything has ended."""
    fences = [asked(c, "anna").fence, asked(c, "ben").fence]
    c.run(permits(c).release("n-anna"))
    fences.append(asked(c, "carl").fence)
    backend.later(31)
    fences.append(asked(c, "dora").fence)
    assert fences == sorted(set(fences))


def test_the_slot_of_a_dead_holder_comes_back(c: Any, backend: Backend) -> None:
    asked(c, "dead", weight=3, ttl_ms=5_000)
    asked(c, "late", limit=6, weight=3, ttl_ms=60_000)
    backend.later(5.001)
    assert held(c) == [("late", 3)]
    assert asked(c, "next", limit=6, weight=3).granted
    assert not asked(c, "more", limit=6).granted


def test_many_dead_come_back_in_several_steps(c: Any, backend: Backend) -> None:
    """A call removes at most fifty permits, so no call takes long."""
    for number in range(120):
        assert asked(c, f"o-{number}", limit=120, ttl_ms=1_000).granted
    asked(c, "late", limit=121, ttl_ms=60_000)
    backend.later(1.001)
    tries = next(number for number in range(10) if asked(c, "new", limit=3, weight=2).granted)
    assert 0 < tries < 4
    assert held(c) == [("late", 1), ("new", 2)]


def test_an_ended_permit_cannot_be_renewed(c: Any, backend: Backend) -> None:
    """Even if it is still stored, and its slot is free."""
    grant = asked(c, "anna", ttl_ms=1_000)
    asked(c, "ben", ttl_ms=60_000)
    assert c.run(permits(c).renew(grant.nonce, 1_000)) is True
    backend.later(1.001)
    assert c.run(permits(c).renew(grant.nonce, 1_000)) is False
    assert held(c) == [("ben", 1)]


def test_renewing_ignores_the_limit(c: Any) -> None:
    """A lower limit refuses, and evicts no holder."""
    grants = [asked(c, owner) for owner in ("anna", "ben", "carl")]
    assert not asked(c, "dora", limit=1).granted
    assert all(c.run(permits(c).renew(grant.nonce, 60_000)) for grant in grants)
    assert len(held(c)) == 3


def test_the_same_owner_gets_its_permit_again(c: Any) -> None:
    first, again = asked(c, "anna", nonce="one"), asked(c, "anna", nonce="two")
    assert again.granted
    assert (again.fence, again.nonce) == (first.fence, first.nonce)
    assert not asked(c, "anna", nonce="three", weight=2).granted
    assert held(c) == [("anna", 1)]


def test_a_released_attempt_gets_no_permit_later(c: Any) -> None:
    """The copy of a call that was released before it ran takes nothing."""
    assert c.run(permits(c).release("n-anna")) is False
    assert not asked(c, "anna").granted
    assert held(c) == []


def test_a_release_by_nonce_finds_the_permit(c: Any) -> None:
    """After a lost reply only the nonce of the attempt is known."""
    asked(c, "anna")
    grant = asked(c, "ben")
    mine = permits(c)
    assert c.run(mine.release("n-anna")) is True
    assert c.run(mine.release("n-anna")) is True
    assert c.run(mine.release(grant.nonce)) is True
    assert c.run(permits(c).release("n-anna")) is False
    assert held(c) == []


def test_the_key_lives_as_long_as_its_last_permit(c: Any, backend: Backend) -> None:
    """Redisson's keys stay for ever; here also the set of an abandoned semaphore ends."""
    if backend.line.engine == "fakeredis":
        pytest.skip("for its deadlines time stands still, and PEXPIREAT means another moment there")
    asked(c, "anna", ttl_ms=5_000)
    grant = asked(c, "ben", ttl_ms=600_000)
    assert backend.left(KEY) == pytest.approx(600, abs=1)
    c.run(permits(c).release(grant.nonce))
    assert backend.left(KEY) == pytest.approx(60, abs=1)
    backend.later(61)
    assert KEY not in backend.stored


def test_racing_claims_never_exceed_the_limit(backend: Backend) -> None:
    """Of eight threads, or fifty tasks, exactly as many as fit get a permit."""
    grants = backend.race(lambda at: at.run(Permits(at.calls, "gpu", 3, 1).ask(at.nonce(), at.nonce(), 30_000)))
    fences = [grant.fence for grant in grants if grant.granted]
    assert len(fences) == len(set(fences)) == 3


@pytest.mark.parametrize("limit", [0, -1, 10**9 + 1])
def test_a_limit_out_of_range_is_refused(c: Any, backend: Backend, limit: int) -> None:
    with backend.untouched(), pytest.raises(ValueError, match="limit is"):
        c.semaphore("gpu", limit=limit)


@pytest.mark.parametrize("limit", ["3", 3.0, None])
def test_a_limit_of_another_type_is_refused(c: Any, limit: Any) -> None:
    with pytest.raises(TypeError, match="limit must be an int"):
        c.semaphore("gpu", limit=limit)


def test_what_is_not_a_semaphore_is_refused(c: Any, backend: Backend) -> None:
    backend.plant(KEY, "a string")
    with pytest.raises(coord.WrongType):
        asked(c, "anna")
    backend.lose(KEY)
    backend.place.do("ZADD", KEY, "0.5", "used")
    backend.place.do("PEXPIRE", KEY, 60_000)
    with pytest.raises(coord.Corrupt):
        asked(c, "anna")
