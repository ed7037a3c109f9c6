"""Statistics: accumulated by many instances, consumed once."""

from __future__ import annotations

from typing import Any

import pytest
from backends import Backend

import coord

KEY = "coord:stats:{req-1}:embedding"


def test_counts_of_many_are_consumed_once(c: Any) -> None:
    """Instances merge what they did; one takes the sum, and it is gone."""
    embedding = c.stats("embedding")
    embedding.merge("req-1", processed=3, errors=1)
    embedding.merge("req-1", processed=2)
    assert embedding.peek("req-1") == {"processed": 5, "errors": 1}
    assert embedding.consume("req-1") == {"processed": 5, "errors": 1}
    assert embedding.consume("req-1") is None


def test_what_was_never_merged_is_none(c: Any) -> None:
    """None says that nobody has merged; it is not the same as counts of nothing."""
    assert c.stats("embedding").peek("req-1") is None
    assert c.stats("embedding").consume("req-1") is None


def test_merging_nothing_marks_the_id(c: Any) -> None:
    """Who merges without a delta says: I was here, and there was nothing to count."""
    embedding = c.stats("embedding")
    assert embedding.merge("req-1") is None
    assert embedding.peek("req-1") == {}
    assert embedding.consume("req-1") == {}


def test_a_delta_of_zero_is_a_count_of_zero(c: Any) -> None:
    """A field that was merged with 0 is there, with 0."""
    embedding = c.stats("embedding")
    embedding.merge("req-1", errors=0)
    assert embedding.consume("req-1") == {"errors": 0}


def test_fields_have_any_names(c: Any) -> None:
    """A mapping takes names that Python does not, and both ways can be mixed."""
    embedding = c.stats("embedding")
    embedding.merge("req-1", {"tokens: out": 7, "id": 1, "op_id": 2}, errors=1)
    assert embedding.consume("req-1") == {"tokens: out": 7, "id": 1, "op_id": 2, "errors": 1}


def test_ids_and_names_do_not_meet(c: Any) -> None:
    """Each name has counts of its own for each id."""
    c.stats("embedding").merge("req-1", n=1)
    c.stats("parsing").merge("req-1", n=2)
    c.stats("embedding").merge("req-2", n=4)
    assert c.stats("parsing").peek("req-1") == {"n": 2}


def test_counts_go_down_and_below_zero(c: Any) -> None:
    """Deltas are signed."""
    embedding = c.stats("embedding")
    embedding.merge("req-1", balance=2)
    embedding.merge("req-1", balance=-5)
    assert embedding.peek("req-1") == {"balance": -3}


@pytest.mark.parametrize("edge", [2**53, 2**53 + 1, 10**15, 2**63 - 2, -(2**63) + 1])
def test_counts_are_exact_to_64_bits(c: Any, edge: int) -> None:
    """A count is exact where a floating-point number no longer is."""
    embedding = c.stats("embedding")
    embedding.merge("req-1", n=edge)
    embedding.merge("req-1", n=1)
    assert embedding.peek("req-1") == {"n": edge + 1}
    embedding.merge("req-1", n=-1)
    assert embedding.consume("req-1") == {"n": edge}


def test_every_sum_is_exact(c: Any) -> None:
    """Lua adds long numbers in halves of nine digits: signs, carries and borrows are right at each edge."""
    positive = {10**power * times + off for power in (8, 9, 15, 18) for times in (1, 3) for off in (-1, 0, 1)}
    numbers = sorted({0, 2**63 - 1, -(2**63), *positive, *(-number for number in positive)})
    pairs = {(left, right) for left in numbers for right in numbers if -(2**63) <= left + right < 2**63}
    embedding = c.stats("embedding")
    for of in numbers:
        embedding.merge(f"req{of}", **{f"{right}": of for left, right in pairs if left == of})
        embedding.merge(f"req{of}", **{f"{right}": right for left, right in pairs if left == of})
        assert embedding.peek(f"req{of}") == {f"{right}": of + right for left, right in pairs if left == of}


@pytest.mark.parametrize(("most", "delta"), [(2**63 - 1, 1), (-(2**63), -1)])
def test_an_overflow_leaves_all_fields_untouched(backend: Backend, c: Any, most: int, delta: int) -> None:
    """All deltas of a merge are added, or none: also those before and behind the one that overflows."""
    embedding = c.stats("embedding")
    embedding.merge("req-1", before=1, full=most, behind=1)
    stored = backend.stored
    with pytest.raises(coord.CountOverflow) as raised:
        embedding.merge("req-1", before=1, full=delta, behind=1)
    assert isinstance(raised.value, OverflowError)
    assert embedding.peek("req-1") == {"before": 1, "full": most, "behind": 1}
    assert backend.stored.keys() == stored.keys()


def test_the_same_operation_is_merged_once(c: Any) -> None:
    """A queue delivers twice: with the id of the operation the second merge changes nothing."""
    embedding = c.stats("embedding")
    for _ in range(3):
        embedding.merge("req-1", processed=1, op_id="message-9")
    embedding.merge("req-1", processed=1, op_id="message-10")
    assert embedding.peek("req-1") == {"processed": 2}


def test_an_operation_is_remembered_after_its_counts_were_consumed(c: Any) -> None:
    """A late repetition does not bring consumed counts back."""
    embedding = c.stats("embedding")
    embedding.merge("req-1", processed=1, op_id="message-9")
    embedding.consume("req-1")
    embedding.merge("req-1", processed=1, op_id="message-9")
    assert embedding.peek("req-1") is None


def test_a_consumer_with_an_id_may_ask_again(c: Any) -> None:
    """A consumer that did not hear the answer is given it again; another gets nothing."""
    embedding = c.stats("embedding")
    embedding.merge("req-1", processed=1)
    assert embedding.consume("req-1", op_id="message-9") == {"processed": 1}
    assert embedding.consume("req-1") is None
    assert embedding.consume("req-1", op_id="message-9") == {"processed": 1}


def test_an_operation_is_forgotten_when_its_window_ends(backend: Backend, c: Any) -> None:
    """An id is remembered for as long as the counts live after a merge."""
    embedding = c.stats("embedding", ttl=60)
    embedding.merge("req-1", processed=1, op_id="message-9")
    backend.later(61)
    embedding.merge("req-1", processed=1, op_id="message-9")
    assert embedding.peek("req-1") == {"processed": 1}


def test_a_merge_that_failed_may_be_repeated_with_its_id(backend: Backend, c: Any) -> None:
    """Only what happened is remembered: after an overflow the same operation id counts when it fits."""
    embedding = c.stats("embedding")
    embedding.merge("req-1", n=2**63 - 1)
    with pytest.raises(coord.CountOverflow):
        embedding.merge("req-1", n=1, op_id="message-9")
    embedding.merge("req-1", n=-1)
    embedding.merge("req-1", n=1, op_id="message-9")
    assert embedding.peek("req-1") == {"n": 2**63 - 1}


def test_racers_lose_no_count(backend: Backend, c: Any) -> None:
    """Merges at the same time all count."""
    merged = len(backend.race(lambda at: at.stats("embedding").merge("req-1", n=1)))
    assert c.stats("embedding").consume("req-1") == {"n": merged}


def test_one_racer_consumes(backend: Backend, c: Any) -> None:
    """Of many who consume at the same time, one gets the counts and all others None."""
    c.stats("embedding").merge("req-1", n=1)
    consumed = backend.race(lambda at: at.stats("embedding").consume("req-1"))
    assert sorted(consumed, key=str) == [None] * (len(consumed) - 1) + [{"n": 1}]


def test_every_merge_starts_the_ttl_anew(backend: Backend, c: Any) -> None:
    """The counts of an id are one key with one TTL: they never expire in part."""
    embedding = c.stats("embedding", ttl=60)
    embedding.merge("req-1", a=1)
    backend.later(50)
    embedding.merge("req-1", b=1)
    assert backend.left(KEY) == pytest.approx(60, abs=0.2)
    backend.later(61)
    assert embedding.peek("req-1") is None


def test_a_thousand_fields_are_merged_in_one_step(c: Any) -> None:
    """The most fields that one merge takes."""
    fields = {f"field-{i}": i for i in range(1000)}
    embedding = c.stats("embedding")
    embedding.merge("req-1", fields)
    assert embedding.consume("req-1") == fields


def test_handles_say_whose_they_are(c: Any) -> None:
    """A handle is cheap, and its repr names it."""
    assert "'embedding'" in repr(c.stats("embedding"))
