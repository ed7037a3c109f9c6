"""Barriers: they complete once, when everybody has arrived."""

from __future__ import annotations

from typing import Any

import pytest
from backends import Backend

import coord

pytest_plugins = ("live_fixtures",)

KEY = "coord:barrier:{b}"


# --- arriving -------------------------------------------------------------------------------------


def test_the_last_one_to_arrive_completes_the_barrier(c: Any) -> None:
    """Each arrival says how many are missing; exactly one is the last."""
    b = c.barrier("b")
    b.open(parties=3)
    assert b.arrive("anna") == coord.Arrival(remaining=2, completed=False, counted=True)
    assert b.arrive("bert") == (1, False, True)
    assert b.status().state == "open"
    assert b.arrive("cleo") == (0, True, True)
    assert b.status().state == "complete"


def test_one_of_many_racers_completes_it(backend: Backend) -> None:
    """Of all who arrive at the same time, one is the last."""
    b, name = backend.connect().barrier("b"), iter(range(1_000))
    b.open(parties=50 if backend.line.awaited else 8)
    arrivals = backend.race(lambda at: at.barrier("b").arrive(f"member-{next(name)}"))
    assert sum(arrival.completed for arrival in arrivals) == 1
    assert sorted(arrival.remaining for arrival in arrivals) == list(range(len(arrivals)))


def test_an_arrival_that_is_repeated_needs_no_attempt_before(backend: Backend) -> None:
    """Its answer is with the attempt that counted it; what stands at the key of the attempt before does not matter."""
    c = backend.connect()
    c.barrier("b").open(parties=3)
    arrival = c.calls.barrier("b").arrive("anna")
    before = c.run(arrival)
    backend.plant(f"{KEY}:last", ["a", "list"])
    assert c.run(arrival) == before == (2, False, True)


def test_the_same_member_counts_once(c: Any) -> None:
    """A queue that redelivers changes nothing: the barrier does not fire early."""
    b = c.barrier("b")
    b.open(parties=2)
    b.arrive("anna")
    assert b.arrive("anna") == (1, False, False)
    assert b.fail("anna", "too late") == (1, False, False)
    assert b.status().error_count == 0
    assert b.arrive("bert").completed is True
    assert b.arrive("bert") == (0, False, False)


def test_a_complete_barrier_does_not_fire_again(c: Any) -> None:
    """Who comes late is not counted, and completes nothing."""
    b = c.barrier("b")
    b.open(parties=1)
    b.arrive("anna")
    assert b.arrive("bert") == (0, False, False)
    assert b.status().arrived == 1


def test_a_barrier_that_nobody_opened_does_not_fire(c: Any) -> None:
    """Arriving at nothing is an error, not a completion; asking about nothing is not."""
    b = c.barrier("b")
    for arrive in (lambda: b.arrive("anna"), lambda: b.fail("anna", "oh"), b.wait, lambda: b.watch(print)):
        with pytest.raises(coord.MissingBarrier, match="the barrier 'b'"):
            arrive()
    assert b.status() is None
    assert b.abort() is False


def test_a_failure_counts_as_arrived_and_its_message_is_kept(c: Any) -> None:
    """The barrier fires when some have failed, and says who and why."""
    b = c.barrier("b")
    b.open(parties=2)
    assert b.fail("anna:1", "no disk\nleft") == (1, False, True)
    assert b.arrive("bert").completed is True
    assert b.status().errors == {"anna:1": "no disk\nleft"}
    assert b.status().error_count == 1


def test_a_failure_may_be_the_last(c: Any) -> None:
    """A barrier whose last member fails fires like any other."""
    b = c.barrier("b")
    b.open(parties=1)
    assert b.fail("anna", "oh").completed is True


def test_errors_are_bounded_and_their_count_is_exact(c: Any) -> None:
    """A hundred messages are kept, of 1,024 characters each; the count has all."""
    b = c.barrier("b")
    b.open(parties=150)
    c.run_many([c.calls.barrier("b").fail(f"m-{number}", f"{number} " + "é" * 5_000) for number in range(130)])
    status = b.status()
    assert status.error_count == 130
    assert list(status.errors) == [f"m-{number}" for number in range(100)]
    assert all(len(message) == 1_024 for message in status.errors.values())


def test_a_message_may_hold_anything(c: Any) -> None:
    """What UTF-8 cannot say is replaced; nothing else is lost."""
    b = c.barrier("b")
    b.open(parties=3)
    b.fail("anna", "a\0b\n\n|€ \ud800")
    b.fail("bert", "")
    assert b.status().errors == {"anna": "a\0b\n\n|€ ?", "bert": ""}


@pytest.mark.parametrize("member", ["a:b", "{x}", "%3A", "\n", "€ ", "m|1", "x" * 1_024])
def test_a_member_may_be_called_anything(c: Any, member: str) -> None:
    """Its name comes back as it was given."""
    b = c.barrier(member)
    b.open(parties=2)
    b.fail(member, "oh")
    assert b.arrive(member).counted is False
    assert b.status().errors == {member: "oh"}


def test_metadata_comes_back_as_it_was(c: Any) -> None:
    """Whatever JSON can say; every instance that looks finds it."""
    metadata = {"id": "42", "nested": [1, 2.5, None, True, {"ü": "\n"}], "big": 2**60, "": {}}
    b = c.barrier("b")
    b.open(parties=1, metadata=metadata)
    assert b.status().metadata == metadata
    b.arrive("anna")
    assert b.status().metadata == metadata
    b.open(parties=1)
    assert b.status().metadata is None


def test_a_status_tells_everything(c: Any) -> None:
    """Parties, who has arrived, what is missing, the attempt, and how long it stays open."""
    b = c.barrier("b")
    attempt = b.open(parties=3, deadline=30)
    b.arrive("anna")
    status = b.status()
    assert (status.parties, status.arrived, status.remaining, status.state) == (3, 1, 2, "open")
    assert (status.attempt, status.errors, status.error_count, status.reason) == (attempt, {}, 0, "")
    assert 29 < status.expires_in <= 30


def test_the_same_call_again_is_given_the_first_answer(c: Any) -> None:
    """A repetition after a lost reply arrives no second time, and the completion is not lost with its reply."""
    calls = c.calls.barrier("b")
    opened = calls.open(parties=2)
    attempt = c.run(opened)
    first, last, abort = calls.arrive("anna"), calls.arrive("bert"), calls.abort("late")
    assert c.run(first) == c.run(first) == (1, False, True)
    assert c.run(last) == c.run(last) == (0, True, True)
    assert c.run(first) == (1, False, True)
    assert c.run(abort) is False
    assert c.barrier("b").status().attempt == attempt


def test_opening_is_not_repeated(server: Backend) -> None:
    """An open whose reply was lost is sent again, and does not forget who has arrived since."""
    c = server.connect()
    opened = c.calls.barrier("b").open(parties=2)
    attempt = c.run(opened)
    c.barrier("b").arrive("anna")
    assert c.run(opened) == attempt
    assert c.barrier("b").status().arrived == 1


def test_aborting_is_answered_again_as_at_first(c: Any) -> None:
    """The one that aborted it learns so, also by the repetition of its call."""
    c.barrier("b").open(parties=2)
    abort = c.calls.barrier("b").abort("no more")
    assert c.run(abort) is c.run(abort) is True
    assert c.barrier("b").abort() is False


# --- attempts -------------------------------------------------------------------------------------


def test_opening_again_starts_a_new_attempt(c: Any) -> None:
    """What had arrived is forgotten, errors and all."""
    b = c.barrier("b")
    first = b.open(parties=2, metadata={"n": 1})
    b.fail("anna", "oh")
    second = b.open(parties=3)
    assert first != second
    status = b.status()
    assert (status.attempt, status.parties, status.arrived, status.errors) == (second, 3, 0, {})
    assert b.arrive("anna").counted is True


def test_an_arrival_of_an_older_attempt_is_not_counted(c: Any) -> None:
    """A message that was delivered late belongs to work that has been begun anew."""
    b = c.barrier("b")
    first = b.open(parties=1)
    second = b.open(parties=1)
    assert b.arrive("anna", attempt=first) == (1, False, False)
    assert b.fail("anna", "oh", attempt=first) == (1, False, False)
    assert b.arrive("anna", attempt=second) == (0, True, True)


# --- ends -----------------------------------------------------------------------------------------


def test_an_aborted_barrier_takes_nobody_in(c: Any) -> None:
    """It says why it was aborted; who arrives is not counted."""
    b = c.barrier("b")
    b.open(parties=2)
    assert b.abort("the disk is full") is True
    assert (b.status().state, b.status().reason) == ("aborted", "the disk is full")
    assert b.arrive("anna") == (2, False, False)
    b.open(parties=1)
    assert b.arrive("anna").completed is True


def test_a_barrier_expires_at_its_deadline(backend: Backend, c: Any) -> None:
    """By the clock of the server; after it nobody is counted, though the state is kept for who asks."""
    b = c.barrier("b")
    b.open(parties=2, deadline=30)
    backend.later(29)
    assert b.arrive("anna").counted is True
    backend.later(2)
    assert (b.status().state, b.status().expires_in) == ("expired", 0.0)
    assert b.arrive("bert") == (1, False, False)
    assert b.abort() is False


def test_a_barrier_outlives_its_deadline(backend: Backend, c: Any) -> None:
    """Its TTL is at least twice the deadline, so that those who wait see that it has expired."""
    c.barrier("b").open(parties=1, ttl=10, deadline=60)
    assert backend.left(KEY) == pytest.approx(120, abs=0.2)


def test_every_change_keeps_it_for_its_whole_ttl(backend: Backend, c: Any) -> None:
    """The TTL begins anew with each arrival, and the barrier is gone when nothing happens for so long."""
    b = c.barrier("b")
    b.open(parties=3, ttl=60)
    backend.later(50)
    b.arrive("anna")
    assert backend.left(KEY) == pytest.approx(60, abs=0.2)
    backend.later(61)
    assert b.status() is None


@pytest.mark.permanent
def test_a_barrier_may_be_kept_for_good(backend: Backend) -> None:
    """Where the coordinator has no TTL."""
    c = backend.connect(ttl=None)
    c.barrier("b").open(parties=1, deadline=5)
    assert backend.stored[KEY][2] == -1


def test_it_is_one_key(backend: Backend, c: Any) -> None:
    """An entity is one key with one TTL, beside what is remembered of the operation."""
    c.barrier("b").open(parties=1, metadata={"a": 1})
    c.barrier("b").fail("anna", "oh")
    assert [key for key in backend.stored if ":op:" not in key] == [KEY]


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"parties": 0}, ValueError),
        ({"parties": -1}, ValueError),
        ({"parties": 10**9 + 1}, ValueError),
        ({"parties": True}, ValueError),
        ({"parties": 1.0}, TypeError),
        ({"parties": 1, "ttl": 0}, ValueError),
        ({"parties": 1, "deadline": 0}, ValueError),
        ({"parties": 1, "metadata": {"x": object()}}, TypeError),
        ({"parties": 1, "metadata": {"x": float("nan")}}, ValueError),
        ({"parties": 1, "metadata": {"x": "y" * 70_000}}, ValueError),
    ],
)
def test_what_makes_no_sense_is_refused(
    backend: Backend, c: Any, wrong: dict[str, Any], error: type[Exception]
) -> None:
    """Before anything is sent, and with a sentence that names what is wrong."""
    with backend.untouched(), pytest.raises(error, match=r"parties|ttl|deadline|metadata"):
        c.barrier("b").open(**wrong)


def test_an_answer_of_an_arrival_that_coord_did_not_write_is_an_error(backend: Backend, c: Any) -> None:
    """The answer of a call is kept under its id; what a foreign writer left there is not read as one."""
    c.barrier("b").open(parties=1)
    call = c.calls.barrier("b").arrive("anna")
    answered = call.keys[2]
    backend.plant(answered, "1,0,1")
    before = backend.values
    with pytest.raises(coord.Corrupt):
        c.run(call)
    assert backend.values == before
