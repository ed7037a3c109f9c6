"""Executions: one accepted result a key, given to everyone who asks again."""

from __future__ import annotations

from typing import Any

import pytest
from backends import Backend

import coord

KEY = "coord:execution:{pay-7}"


# --- begin ---------------------------------------------------------------------------------------


def test_one_caller_is_to_run_the_work(c: Any) -> None:
    """The first ``begin`` is "new"; others see that it runs, by whom, under which fence, and for how long."""
    mine = c.execution("pay-7").begin(ttl=30, owner="anna")
    assert (mine.state, mine.owner, mine.result, mine.error) == ("new", "anna", None, None)
    other = c.execution("pay-7").begin(ttl=30, owner="bert")
    assert (other.state, other.owner, other.fence, other.result) == ("running", "anna", mine.fence, None)
    assert 29 < other.expires_in <= 30


def test_begin_has_one_winner_among_racers(backend: Backend) -> None:
    states = [each.state for each in backend.race(lambda at: at.execution("pay-7").begin())]
    assert sorted(states) == ["new"] + ["running"] * (len(states) - 1)


def test_the_same_owner_gets_its_own_attempt_back(backend: Backend, c: Any) -> None:
    """A worker that asks again goes on with its attempt, with the same fence and at least the time it asked for."""
    first = c.execution("pay-7").begin(ttl=30, owner="anna")
    backend.later(10)
    again = c.execution("pay-7").begin(ttl=30, owner="anna")
    assert (again.state, again.fence) == ("new", first.fence)
    assert backend.left(KEY) == pytest.approx(30, abs=0.2)
    assert again.complete("ok") is True
    assert first.complete("late") is False


def test_an_attempt_ends_by_itself_and_the_next_has_a_higher_fence(backend: Backend, c: Any) -> None:
    """A worker that dies holds the key up for the rest of its TTL and no longer (powertools 8049)."""
    dead = c.execution("pay-7").begin(ttl=30)
    backend.later(30.01)
    heir = c.execution("pay-7").begin(ttl=30)
    assert heir.state == "new"
    assert heir.fence > dead.fence


@pytest.mark.parametrize("end", ["abandon", "forget", "lose", "expire"])
def test_fences_grow_however_an_attempt_ends(backend: Backend, c: Any, end: str) -> None:
    work = c.execution("pay-7")
    first = work.begin(ttl=30)
    if end == "lose":
        backend.lose(KEY)
        backend.later(0.001)
    elif end == "expire":
        backend.later(31)
    else:
        (first.abandon if end == "abandon" else work.forget)()
    second = work.begin(ttl=30)
    assert second.state == "new"
    assert second.fence > first.fence


# --- complete ------------------------------------------------------------------------------------


def test_the_result_is_given_to_everyone(backend: Backend, c: Any) -> None:
    mine = c.execution("pay-7").begin()
    assert mine.complete("receipt 1", keep=600) is True
    assert (mine.state, mine.result) == ("done", "receipt 1")
    for _ in range(2):
        later = c.execution("pay-7").begin()
        assert (later.state, later.result, later.fence) == ("done", "receipt 1", mine.fence)
        assert later.expires_in == pytest.approx(600, abs=1)
        assert later.complete("another") is False
    backend.later(601)
    assert c.execution("pay-7").begin().state == "new"


def test_a_late_result_of_a_paused_worker_is_refused(backend: Backend, c: Any) -> None:
    """Another has taken over: its result stands, whichever comes first."""
    work = c.execution("pay-7")
    paused = work.begin(ttl=30)
    backend.later(31)
    heir = work.begin(ttl=30)
    assert paused.complete("late") is False
    assert paused.renew() is False
    assert paused.abandon() is False
    assert work.status().state == "running"
    assert heir.complete("right") is True
    assert paused.complete("late") is False
    assert work.begin().result == "right"


def test_a_result_that_comes_after_the_lease_is_refused(backend: Backend, c: Any) -> None:
    """Nobody has taken over yet, but from the end of its lease on somebody may."""
    paused = c.execution("pay-7").begin(ttl=30)
    backend.later(31)
    assert paused.complete("late") is False
    assert c.execution("pay-7").status() is None


def test_completing_again_keeps_the_first_result(c: Any) -> None:
    mine = c.execution("pay-7").begin()
    assert mine.complete("first") is True
    assert mine.complete("first") is True
    assert mine.complete("second") is False
    assert c.execution("pay-7").begin().result == "first"


def test_an_error_can_be_the_result(c: Any) -> None:
    mine = c.execution("pay-7").begin()
    assert mine.fail("ValueError", "no such account") is True
    other = c.execution("pay-7").begin()
    assert (other.state, other.result, other.error) == ("done", None, ("ValueError", "no such account"))
    found = c.execution("pay-7").status()
    assert (found.state, found.result, found.error) == ("done", None, ("ValueError", "no such account"))


def test_results_of_up_to_a_mebibyte_are_kept(backend: Backend, c: Any) -> None:
    """Above that, the error says so, and nothing is sent."""
    mine = c.execution("pay-7").begin()
    with backend.untouched(), pytest.raises(ValueError, match="1,048,577 bytes: at most 1,048,576 fit"):
        mine.complete("x" * (2**20 + 1))
    with backend.untouched(), pytest.raises(ValueError, match="at most 1,048,576 fit"):
        mine.complete("é" * (2**19 + 1))
    assert mine.complete("é" * 2**19) is True
    assert c.execution("pay-7").begin().result == "é" * 2**19


# --- renew, abandon, forget, status --------------------------------------------------------------


def test_renewing_counts_from_now(backend: Backend, c: Any) -> None:
    mine = c.execution("pay-7").begin(ttl=30)
    backend.later(20)
    assert mine.renew() is True
    assert backend.left(KEY) == pytest.approx(30, abs=0.2)
    assert mine.renew(ttl=90) is True
    assert backend.left(KEY) == pytest.approx(90, abs=0.2)


def test_abandoning_lets_another_run_at_once(c: Any) -> None:
    mine = c.execution("pay-7").begin(fingerprint="a")
    assert mine.abandon() is True
    assert mine.abandon() is False
    assert mine.complete("late") is False
    assert c.execution("pay-7").status() is None
    assert c.execution("pay-7").begin(fingerprint="b").state == "new"


def test_a_completed_attempt_cannot_be_abandoned(c: Any) -> None:
    mine = c.execution("pay-7").begin()
    mine.complete("ok")
    assert mine.abandon() is False
    assert c.execution("pay-7").begin().result == "ok"


def test_forgetting_drops_the_result(c: Any) -> None:
    work = c.execution("pay-7")
    assert work.forget() is False
    work.begin().complete("old")
    assert work.forget() is True
    assert work.forget() is False
    assert work.begin().state == "new"


def test_forgetting_takes_a_running_attempt_away(c: Any) -> None:
    work = c.execution("pay-7")
    mine = work.begin()
    assert work.forget() is True
    assert mine.renew() is False
    assert mine.complete("late") is False
    assert work.status() is None


def test_status_shows_what_is_known(c: Any) -> None:
    work = c.execution("pay-7")
    assert work.status() is None
    mine = work.begin(fingerprint="body", ttl=30, owner="anna")
    found = work.status()
    assert isinstance(found, coord.ExecutionStatus)
    assert (found.state, found.owner, found.fence, found.fingerprint) == ("running", "anna", mine.fence, "body")
    assert found.result is None
    mine.complete("ok", keep=60)
    found = work.status()
    assert (found.state, found.owner, found.fence, found.result) == ("done", "anna", mine.fence, "ok")
    assert found.expires_in == pytest.approx(60, abs=1)


# --- fingerprints --------------------------------------------------------------------------------


@pytest.mark.parametrize(("bound", "other"), [("a", "b"), (None, "a"), ("a", None), ("", None), (None, ""), ("a", "A")])
def test_another_fingerprint_is_a_mismatch(c: Any, bound: str | None, other: str | None) -> None:
    """A key that belongs to another request gives no foreign answer (devlink 1195), neither while it runs nor later."""
    mine = c.execution("pay-7").begin(fingerprint=bound, owner="anna")
    for owner in ("anna", "bert"):
        refused = c.execution("pay-7").begin(fingerprint=other, owner=owner)
        assert (refused.state, refused.result) == ("mismatch", None)
    mine.complete("secret")
    refused = c.execution("pay-7").begin(fingerprint=other)
    assert (refused.state, refused.result) == ("mismatch", None)
    assert c.execution("pay-7").begin(fingerprint=bound).result == "secret"


# --- what others write ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "planted",
    [
        {"state": "running"},
        {"state": "asleep", "attempt": "a", "owner": "o", "fence": "1", "fingerprint": "", "result": ""},
        {"state": "done", "attempt": "a", "owner": "o", "fence": "x", "fingerprint": "", "result": ""},
        {"state": "done", "attempt": "a", "owner": "o", "fence": "1", "result": ""},
    ],
)
def test_what_coord_never_wrote_is_corrupt(backend: Backend, c: Any, planted: dict[str, str]) -> None:
    work = c.execution("pay-7")
    mine = work.begin()
    backend.plant(KEY, planted)
    for ask in (work.begin, work.status, work.forget, mine.renew, mine.abandon, lambda: mine.complete("x")):
        with backend.untouched_keys(), pytest.raises(coord.Corrupt):
            ask()


def test_a_kept_error_that_coord_never_wrote_is_corrupt(backend: Backend, c: Any) -> None:
    planted = {"state": "failed", "attempt": "a", "owner": "o", "fence": "1", "fingerprint": "", "result": "[1"}
    backend.plant(KEY, planted)
    for ask in (c.execution("pay-7").begin, c.execution("pay-7").status):
        with pytest.raises(coord.Corrupt):
            ask()
