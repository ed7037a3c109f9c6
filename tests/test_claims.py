"""Claims: dedupe windows, leases with fences. One of many takes a name for a while."""

from __future__ import annotations

from typing import Any

import pytest
from backends import Backend

import coord
from coord import claims

CLAIM = "coord:claim:{job}"


# --- once: a dedupe window -----------------------------------------------------------------------


def test_once_is_true_for_the_first_caller_only(c: Any) -> None:
    """The first caller in a window gets True, everybody else False."""
    assert c.once("notes/42", ttl=45) is True
    assert c.once("notes/42", ttl=45) is False
    assert c.once("notes/43", ttl=45) is True


def test_once_arms_again_when_its_window_ends(backend: Backend, c: Any) -> None:
    """The window is counted from the caller that got True; asking in between does not prolong it."""
    c.once("job", ttl=45)
    backend.later(44)
    assert c.once("job", ttl=45) is False
    backend.later(2)
    assert c.once("job", ttl=45) is True


def test_once_has_one_winner_among_racers(backend: Backend) -> None:
    """Of many who ask at the same time, one gets True."""
    assert sum(backend.race(lambda at: at.once("job", ttl=45))) == 1


def test_once_and_claim_of_one_name_do_not_meet(c: Any) -> None:
    """A window and a claim of the same name know nothing of each other."""
    assert c.once("job") is True
    assert c.claim("job") is not None


# --- claim: a lease ------------------------------------------------------------------------------


def test_claim_is_refused_while_another_owner_has_it(c: Any) -> None:
    """One owner holds a name; another gets None at once."""
    lease = c.claim("job", ttl=30, owner="anna")
    assert (lease.name, lease.owner) == ("job", "anna")
    assert c.claim("job", ttl=30, owner="bert") is None


def test_claims_without_an_owner_are_each_their_own(c: Any) -> None:
    """Who names no owner competes with everybody, also with itself."""
    assert c.claim("job") is not None
    assert c.claim("job") is None


def test_the_same_owner_gets_its_own_lease_back(backend: Backend, c: Any) -> None:
    """An owner that asks again holds the same lease, with the same fence, and at least as long as it asked for."""
    first = c.claim("job", ttl=30, owner="anna")
    backend.later(10)
    again = c.claim("job", ttl=30, owner="anna")
    assert again.fence == first.fence
    assert backend.left(CLAIM) == pytest.approx(30, abs=0.2)


def test_asking_again_never_shortens_a_lease(backend: Backend, c: Any) -> None:
    """A second, shorter request of the same owner takes no time away from its first lease."""
    c.claim("job", ttl=30, owner="anna")
    c.claim("job", ttl=5, owner="anna")
    assert backend.left(CLAIM) == pytest.approx(30, abs=0.2)


def test_a_claim_ends_by_itself(backend: Backend, c: Any) -> None:
    """A holder that dies frees the name when its TTL has passed."""
    c.claim("job", ttl=30, owner="anna")
    backend.later(31)
    assert c.claim("job", ttl=30, owner="bert").owner == "bert"


def test_one_claim_is_granted_among_racers(backend: Backend) -> None:
    """Of many who claim at the same time, one gets a lease."""
    assert sum(lease is not None for lease in backend.race(lambda at: at.claim("job"))) == 1


def test_release_frees_the_name_at_once(c: Any) -> None:
    """A released name can be claimed again; releasing twice does nothing."""
    lease = c.claim("job", owner="anna")
    assert lease.release() is True
    assert lease.release() is False
    assert c.holder("job") is None
    assert c.claim("job", owner="bert") is not None


def test_renew_holds_longer(backend: Backend, c: Any) -> None:
    """Renewing starts the TTL anew: the one it was claimed for, or another."""
    lease = c.claim("job", ttl=30)
    backend.later(20)
    assert lease.renew() is True
    assert backend.left(CLAIM) == pytest.approx(30, abs=0.2)
    assert lease.renew(ttl=90) is True
    assert backend.left(CLAIM) == pytest.approx(90, abs=0.2)


def test_a_lease_knows_how_long_it_may_be_counted_on(backend: Backend, c: Any) -> None:
    """The holder's own clock runs a little ahead: it gives up before the server does."""
    lease = c.claim("job", ttl=30)
    assert 29 < lease.expires_in < 30
    backend.later(29.9)
    assert lease.expires_in == 0.0
    assert backend.left(CLAIM) > 0


def test_holder_tells_who_has_a_name(backend: Backend, c: Any) -> None:
    """``holder`` shows owner, fence and the time left; None when nobody holds the name."""
    assert c.holder("job") is None
    lease = c.claim("job", ttl=30, owner="anna")
    backend.later(10)
    about_20: Any = pytest.approx(20, abs=0.2)
    assert c.holder("job") == coord.Holder(owner="anna", fence=lease.fence, expires_in=about_20)
    backend.later(21)
    assert c.holder("job") is None


def test_an_owner_s_name_may_hold_any_character(c: Any) -> None:
    """Owners are text: the separator inside the stored value is allowed in them too."""
    lease = c.claim("job", owner="a|b|7|✓")
    assert c.holder("job").owner == "a|b|7|✓"
    assert c.claim("job", owner="a|b|7|✓").fence == lease.fence


# --- loss ----------------------------------------------------------------------------------------


def test_a_former_owner_can_neither_renew_nor_release(backend: Backend, c: Any) -> None:
    """Once the name has gone to another, the former holder changes nothing, and learns of it."""
    late = c.claim("job", ttl=30, owner="anna")
    backend.later(31)
    now = c.claim("job", ttl=30, owner="bert")
    assert late.renew() is False
    assert late.release() is False
    assert late.lost.is_set()
    assert c.holder("job").fence == now.fence


@pytest.mark.parametrize("taken", [False, True], ids=["free", "taken by another"])
def test_a_name_is_released_by_one_lease_of_its_owner(c: Any, taken: bool) -> None:
    """An owner that asked twice has two objects for one lease: one releases it, and to the other it is lost."""
    one, two = (c.claim("job", ttl=30, owner="anna") for _ in range(2))
    assert one.fence == two.fence
    assert one.release() is True
    other = c.claim("job", ttl=30, owner="bert") if taken else None
    assert two.release() is False
    assert two.lost.is_set()
    assert one.release() is False, "it was released before"
    holder = c.holder("job")
    assert (holder and holder.owner) == (other and "bert")


def test_a_repeated_release_gets_its_first_answer_and_another_lease_its_own(c: Any) -> None:
    """Copies of one release say the same whatever came between; those of the other lease object do too."""
    calls = c.calls
    one, two = claims.Claimable(calls, "job"), claims.Claimable(calls, "job")
    assert c.run(one.ask("anna", "nonce-1", 30_000)).granted
    releases = [one.release("nonce-1"), two.release("nonce-1")]
    assert [c.run(each) for each in releases] == [True, False]
    assert c.claim("job", owner="bert") is not None
    assert [c.run(each) for each in releases * 2] == [True, False] * 2
    assert c.holder("job").owner == "bert"


def test_a_former_lease_of_the_same_owner_frees_nothing(backend: Backend, c: Any) -> None:
    """The lease counts, not the owner's name: an old one does not end a new one of the same owner."""
    late = c.claim("job", ttl=30, owner="anna")
    backend.later(31)
    now = c.claim("job", ttl=30, owner="anna")
    assert late.release() is False
    assert c.holder("job").fence == now.fence


def test_ensure_held_asks_the_server(backend: Backend, c: Any) -> None:
    """``ensure_held`` passes while the lease is held, and raises LeaseLost as soon as it is not."""
    lease = c.claim("job", ttl=30)
    assert lease.ensure_held() is None
    assert not lease.lost.is_set()
    backend.lose(CLAIM)
    with pytest.raises(coord.LeaseLost, match="job"):
        lease.ensure_held()
    assert lease.lost.is_set()
    assert lease.expires_in == 0.0


def test_a_released_lease_is_not_held(c: Any) -> None:
    """A released lease says so, and has no time left."""
    lease = c.claim("job")
    lease.release()
    assert lease.renew() is False
    assert lease.expires_in == 0.0
    with pytest.raises(coord.LeaseLost, match="released"):
        lease.ensure_held()


# --- fences --------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["released", "expired", "deleted"])
def test_a_fence_grows_with_every_grant(backend: Backend, c: Any, how: str) -> None:
    """Each grant of a name has a higher fence than all before, however the one before ended."""
    fences = []
    for _ in range(3):
        lease = c.claim("job", ttl=30)
        fences.append(lease.fence)
        if how == "released":
            lease.release()
        elif how == "expired":
            backend.later(31)
        else:
            backend.later(0.001)
            backend.lose(CLAIM)
    assert fences == sorted(set(fences))


def test_renewing_keeps_the_fence(c: Any) -> None:
    """A fence belongs to a grant: renewing one does not change it."""
    lease = c.claim("job")
    lease.renew()
    assert c.holder("job").fence == lease.fence


# --- attempts: what makes a repeated or late call harmless ---------------------------------------


def test_a_repeated_claim_is_answered_alike(c: Any) -> None:
    """The same attempt sent twice, after a lost reply, is granted once, with one fence."""
    attempt = claims.Claimable(c.calls, "job").ask("anna", "attempt-1", 30_000)
    first, second = c.run(attempt), c.run(attempt)
    assert first.granted
    assert second.granted
    assert first.fence == second.fence


def test_a_late_claim_after_its_release_is_refused(c: Any) -> None:
    """A claim that arrives after it was given up, and released, leaves nothing held."""
    c.run(claims.Claimable(c.calls, "job").release("attempt-1"))
    late = c.run(claims.Claimable(c.calls, "job").ask("anna", "attempt-1", 30_000))
    assert not late.granted
    assert c.holder("job") is None
    assert c.claim("job", owner="bert") is not None


def test_a_repeated_release_is_answered_alike(c: Any) -> None:
    """A release sent twice says both times what it did the first time, and frees nobody else's claim."""
    granted = c.run(claims.Claimable(c.calls, "job").ask("anna", "attempt-1", 30_000))
    release = claims.Claimable(c.calls, "job").release(granted.nonce)
    assert c.run(release) is True
    other = c.claim("job", owner="bert")
    assert c.run(release) is True
    assert c.holder("job").fence == other.fence


def test_a_tombstone_does_not_stay_for_ever(backend: Backend, c: Any) -> None:
    """What refuses late attempts, and what keeps the fence of a released name, ends by itself."""
    c.claim("job", ttl=5).release()
    backend.later(3600)
    c.once("another call, which sweeps")
    assert all("claim" not in key for key in backend.stored)
