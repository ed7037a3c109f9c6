"""Bad input: a clear error before anything is sent, the same on every backend; and names that look bad and are not."""

from __future__ import annotations

import enum
import math
import re
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

import pytest
from backends import Backend
from hypothesis import given, settings
from hypothesis import strategies as st
from redis.crc import key_slot

import coord
from coord.names import percent_decode, percent_encode

# --- one table of what is refused ----------------------------------------------------------------

Refused = Sequence[tuple[object, type[Exception]]]

TEXTS: Refused = (
    ("", ValueError),
    ("x" * 1025, ValueError),
    ("é" * 513, ValueError),
    ("half of a pair: \ud83d", ValueError),
    (b"bytes", TypeError),
    (42, TypeError),
    (True, TypeError),
    (["x"], TypeError),
)
NAMES: Refused = (*TEXTS, (None, TypeError))
SECONDS: Refused = (
    (0, ValueError),
    (0.0, ValueError),
    (-1, ValueError),
    (0.0001, ValueError),
    (math.nan, ValueError),
    (math.inf, ValueError),
    (-math.inf, ValueError),
    (True, ValueError),
    (False, ValueError),
    (10 * 365 * 24 * 3600 + 1, ValueError),
    (10**400, ValueError),
    (timedelta(0), ValueError),
    (timedelta(seconds=-1), ValueError),
    (timedelta(days=3651), ValueError),
    ("45", TypeError),
    ([45], TypeError),
)
NO_DEFAULT: Refused = (*SECONDS, (None, TypeError))
INTEGERS: Refused = (
    (True, ValueError),
    (2**63, ValueError),
    (-(2**63) - 1, ValueError),
    (1.0, TypeError),
    ("1", TypeError),
    (None, TypeError),
)
VALUES: Refused = (("\ud83d", ValueError), (b"bytes", TypeError), (42, TypeError), (None, TypeError))


class Case(NamedTuple):
    """An argument of an operation, what it refuses, and a call that hands it a value."""

    argument: str
    refused: Refused
    give: Callable[[Any, Any], Any]

    def __str__(self) -> str:
        return self.argument


CASES = (
    Case("once(name)", NAMES, lambda c, bad: c.once(bad)),
    Case("once(ttl)", NO_DEFAULT, lambda c, bad: c.once("x", ttl=bad)),
    Case("claim(name)", NAMES, lambda c, bad: c.claim(bad)),
    Case("claim(ttl)", NO_DEFAULT, lambda c, bad: c.claim("x", ttl=bad)),
    Case("claim(owner)", TEXTS, lambda c, bad: c.claim("x", owner=bad)),
    Case("holder(name)", NAMES, lambda c, bad: c.holder(bad)),
    Case("renew(ttl)", SECONDS, lambda c, bad: c.claim("held", owner="anna").renew(ttl=bad)),
    Case("bump(name)", NAMES, lambda c, bad: c.bump(bad)),
    Case("bump(ttl)", SECONDS, lambda c, bad: c.bump("x", ttl=bad)),
    Case("version(name)", NAMES, lambda c, bad: c.version(bad)),
    # An empty name is right here: it stands for a message without a name.
    Case("is_stale(name)", NAMES[1:], lambda c, bad: c.is_stale(bad, 1)),
    Case("is_stale(version)", INTEGERS, lambda c, bad: c.is_stale("x", bad)),
    Case("bump_if_current(name)", NAMES, lambda c, bad: c.bump_if_current(bad, 0)),
    Case("bump_if_current(version)", (*INTEGERS, (-1, ValueError)), lambda c, bad: c.bump_if_current("x", bad)),
    Case("bump_if_current(ttl)", SECONDS, lambda c, bad: c.bump_if_current("x", 0, ttl=bad)),
    Case("stats(name)", NAMES, lambda c, bad: c.stats(bad)),
    Case("stats(ttl)", SECONDS, lambda c, bad: c.stats("s", ttl=bad)),
    Case("merge(id)", NAMES, lambda c, bad: c.stats("s").merge(bad, n=1)),
    Case("merge(field)", NAMES, lambda c, bad: c.stats("s").merge("x", {"good": 1, **_field(bad)})),
    Case("merge(delta)", INTEGERS, lambda c, bad: c.stats("s").merge("x", good=1, bad=bad)),
    Case("merge(op_id)", TEXTS, lambda c, bad: c.stats("s").merge("x", n=1, op_id=bad)),
    Case(
        "merge(deltas)",
        (
            ({f"field-{i}": 1 for i in range(1001)}, ValueError),
            ({"twice": 1}, ValueError),
            ([("n", 1)], TypeError),
            ("n", TypeError),
        ),
        lambda c, bad: c.stats("s").merge("x", bad, twice=1),
    ),
    Case("consume(id)", NAMES, lambda c, bad: c.stats("s").consume(bad)),
    Case("peek(id)", NAMES, lambda c, bad: c.stats("s").peek(bad)),
    Case("incr(key)", NAMES, lambda c, bad: c.kv.incr(bad)),
    Case("incr(delta)", INTEGERS, lambda c, bad: c.kv.incr("x", bad)),
    Case("incr(ttl)", SECONDS, lambda c, bad: c.kv.incr("x", ttl=bad)),
    Case("get_int(key)", NAMES, lambda c, bad: c.kv.get_int(bad)),
    Case("set_if_absent(key)", NAMES, lambda c, bad: c.kv.set_if_absent(bad, ttl=45)),
    Case("set_if_absent(ttl)", SECONDS, lambda c, bad: c.kv.set_if_absent("x", ttl=bad)),
    Case("sadd(key)", NAMES, lambda c, bad: c.kv.sadd(bad, "a")),
    Case("sadd(member)", VALUES, lambda c, bad: c.kv.sadd("x", "a", bad)),
    Case("sadd(ttl)", SECONDS, lambda c, bad: c.kv.sadd("x", "a", ttl=bad)),
    Case("srem(key)", NAMES, lambda c, bad: c.kv.srem(bad, "a")),
    Case("srem(member)", VALUES, lambda c, bad: c.kv.srem("x", "a", bad)),
    Case("srem(ttl)", SECONDS, lambda c, bad: c.kv.srem("x", "a", ttl=bad)),
    Case("scard(key)", NAMES, lambda c, bad: c.kv.scard(bad)),
    Case("rpush(key)", NAMES, lambda c, bad: c.kv.rpush(bad, "a")),
    Case("rpush(value)", VALUES, lambda c, bad: c.kv.rpush("x", "a", bad)),
    Case("rpush(ttl)", SECONDS, lambda c, bad: c.kv.rpush("x", "a", ttl=bad)),
    Case("lrange(key)", NAMES, lambda c, bad: c.kv.lrange(bad)),
    Case("lrange(start)", INTEGERS, lambda c, bad: c.kv.lrange("x", bad)),
    Case("lrange(stop)", INTEGERS, lambda c, bad: c.kv.lrange("x", 0, bad)),
    Case("expire(key)", NAMES, lambda c, bad: c.kv.expire(bad, ttl=45)),
    Case("expire(ttl)", SECONDS, lambda c, bad: c.kv.expire("x", ttl=bad)),
    Case("delete(key)", NAMES, lambda c, bad: c.kv.delete("x", bad)),
    Case("sadd()", (((), ValueError),), lambda c, bad: c.kv.sadd("x", *bad)),
    Case("srem()", (((), ValueError),), lambda c, bad: c.kv.srem("x", *bad)),
    Case("rpush()", (((), ValueError),), lambda c, bad: c.kv.rpush("x", *bad)),
    Case("delete()", (((), ValueError),), lambda c, bad: c.kv.delete(*bad)),
    Case("run(call)", ((None, TypeError), ("once", TypeError)), lambda c, bad: c.run(bad)),
    Case(
        "run_many(call)", ((None, TypeError), ("once", TypeError)), lambda c, bad: c.run_many([c.calls.bump("x"), bad])
    ),
)


def _field(bad: object) -> dict[Any, int]:
    """A mapping with such a key; a list cannot be one."""
    return {tuple(bad) if isinstance(bad, list) else bad: 1}


@pytest.mark.parametrize("case", CASES, ids=str)
def test_bad_input_is_refused_before_anything_is_sent(backend: Backend, c: Any, case: Case) -> None:
    """A wrong value is a ValueError, a wrong type a TypeError; nothing goes to the server and no key changes."""
    c.claim("held", owner="anna")
    c.kv.incr("x")
    for bad, error in case.refused:
        # The claim that renew(ttl) needs is a call of its own.
        if case.argument == "renew(ttl)":
            with pytest.raises(error):
                case.give(c, bad)
        else:
            with backend.untouched(), pytest.raises(error) as raised:
                case.give(c, bad)
            assert raised.type is error or issubclass(raised.type, error), f"{bad!r}"
            assert str(raised.value), f"{bad!r} is refused without a word"


@pytest.mark.parametrize("case", [each for each in CASES if each.refused is NAMES], ids=str)
def test_an_error_says_which_argument_is_wrong(c: Any, case: Case) -> None:
    """The message is a sentence about the argument, whatever text or number was given for it."""
    for bad, _ in case.refused[:7]:
        with pytest.raises((TypeError, ValueError)) as raised:
            case.give(c, bad)
        assert re.match(r"(a|the) (name|field)", str(raised.value)), f"{bad!r}: {raised.value}"


@pytest.mark.parametrize(
    ("prefix", "error"),
    [("{a}:", ValueError), ("a}", ValueError), (None, TypeError), (b"a:", TypeError), ("\ud83d", ValueError)],
)
def test_a_prefix_has_no_braces(backend: Backend, prefix: Any, error: type[Exception]) -> None:
    """A brace in the prefix would move all keys to another slot; it is refused when connecting."""
    with pytest.raises(error, match="prefix"):
        backend.connect(prefix=prefix)


def test_a_bad_default_ttl_is_refused_when_connecting(backend: Backend) -> None:
    """The default TTL keeps the rules of every other TTL; None stands for no end."""
    for bad, error in SECONDS:
        with pytest.raises(error, match="ttl"):
            backend.connect(ttl=bad)


# --- what is allowed -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ttl", "seconds"),
    [
        (1, 1),
        (0.25, 0.25),
        (timedelta(minutes=2), 120),
        (timedelta(milliseconds=1500), 1.5),
        (10 * 365 * 24 * 3600, 10 * 365 * 24 * 3600),
    ],
)
def test_seconds_are_int_float_or_timedelta(backend: Backend, c: Any, ttl: Any, seconds: float) -> None:
    """TTLs are seconds, to the millisecond."""
    c.once("x", ttl=ttl)
    assert backend.left("coord:once:{x}") == pytest.approx(seconds, abs=0.2)


def test_one_millisecond_is_the_shortest_ttl(backend: Backend, c: Any) -> None:
    """1 ms is a TTL; it is over when it is over."""
    assert c.once("x", ttl=0.001) is True
    backend.later(0.01)
    assert c.once("x", ttl=0.001) is True


LARGEST = [("is_stale", 2**63 - 1), ("is_stale", -(2**63)), ("bump_if_current", 2**63 - 1)]


@pytest.mark.parametrize(("operation", "version"), LARGEST)
def test_versions_are_64_bit(c: Any, operation: str, version: int) -> None:
    """The largest and the smallest integer are allowed."""
    assert getattr(c, operation)("x", version) in (False, coord.Bump(bumped=False, version=0))


# --- names ---------------------------------------------------------------------------------------

NASTY = (
    "plain",
    "with space",
    "a:b",
    "a%3Ab",
    "a%3ab",
    "{tag}",
    "}{",
    "{}",
    "%",
    "%%",
    "100%25",
    "*?[a]",
    "new\nline",
    "\r\n",
    "\x00",
    "\x1f\x7f",
    "\x85",
    "ünïcödé ✓",
    "🙂",
    "e\u0301",
    "é",
    "|",
    "a|b|1",
    "op:1",
    ":op:",
    "x" * 1024,
    "🙂" * 256,
    "{" * 1024,
)
"""Names that take some care. The contract allows each."""


def test_nasty_names_are_names(backend: Backend, c: Any) -> None:
    """Each of them is one entity of its own, under its own key, on every backend."""
    versions = {name: c.bump(name) for name in NASTY}
    assert {name: c.version(name) for name in NASTY} == versions
    assert backend.stored.keys() == {f"coord:version:{{{percent_encode(name)}}}" for name in NASTY} | {
        key for key in backend.stored if ":op:" in key
    }
    assert [c.once(name) for name in NASTY] == [True] * len(NASTY)
    assert [c.once(name) for name in NASTY] == [False] * len(NASTY)


def test_nasty_names_are_ids_fields_owners_and_keys(c: Any) -> None:
    """What is text comes back as it was given."""
    for name in NASTY:
        assert c.claim(name, owner=name).owner == name
        assert c.holder(name).owner == name
        c.stats(name).merge(name, {name: 7}, op_id=name)
        assert c.stats(name).consume(name) == {name: 7}
        c.kv.sadd(name, name)
        assert c.kv.srem(name, name) == 1


any_name = st.text(st.characters(codec="utf-8"), min_size=1, max_size=60) | st.text(
    st.sampled_from("{}%:\x00\n\x7f\x85a0é🙂"), min_size=1, max_size=12
)


@pytest.mark.slow
@settings(deadline=None)
@given(any_name)
def test_an_encoded_name_can_be_read_back(name: str) -> None:
    """``percent_decode`` undoes ``percent_encode``."""
    assert percent_decode(percent_encode(name)) == name


@pytest.mark.slow
@settings(deadline=None)
@given(any_name, any_name)
def test_different_names_never_share_a_key(one: str, other: str) -> None:
    """Encoding keeps names apart."""
    assert (percent_encode(one) == percent_encode(other)) == (one == other)


@settings(deadline=None)
@given(any_name)
def test_a_name_stays_inside_its_tag(name: str) -> None:
    """A key is prefix, kind, and the encoded name in braces; nothing in a name moves its slot, or breaks a line."""
    key, *_ = coord.connect("memory://").calls.once(name).keys
    assert re.fullmatch(r"coord:once:\{[^{}:\x00-\x1f\x7f-\x9f]+\}", key)
    assert key_slot(key.encode()) == key_slot(percent_encode(name).encode())


class Job(str, enum.Enum):  # noqa: UP042  # StrEnum prints its value, this one does not
    """A name as many services have it: a member of an enum that is a str."""

    MAIL = "mail"


def test_a_member_of_a_str_enum_is_the_name_it_equals(backend: Backend, c: Any) -> None:
    """Two instances, of which one uses the enum and one the text, mean the same entity."""
    assert c.once(Job.MAIL) is True
    assert c.once("mail") is False
    lease = c.claim("job", owner=Job.MAIL)
    assert c.claim("job", owner="mail").fence == lease.fence
    c.stats("s").merge("x", {Job.MAIL: 1})
    assert c.stats("s").peek("x") == {"mail": 1}
    assert "coord:once:{mail}" in backend.stored
    c.kv.rpush("jobs", Job.MAIL)
    assert [(job, type(job)) for job in c.kv.lrange("jobs", 0, -1)] == [("mail", str)]


class Amount(enum.IntEnum):
    """A number as many services have it."""

    TWO = 2


def test_a_member_of_an_int_enum_is_the_number_it_equals(backend: Backend, c: Any) -> None:
    """Deltas, versions and TTLs may be any integers."""
    assert c.kv.incr("n", Amount.TWO, ttl=Amount.TWO) == 2
    assert backend.left("coord:kv:{n}") == pytest.approx(2, abs=0.2)
    c.stats("s").merge("x", n=Amount.TWO)
    assert c.stats("s").peek("x") == {"n": 2}
    barrier, request = c.barrier("b"), c.request("r")
    barrier.open(Amount.TWO)
    assert barrier.status().parties == 2
    request.register()
    request.add("stage", "root")
    request.requeue("stage", Amount.TWO)
    request.done("stage", "root", Amount.TWO)
    stage = request.status()["stage"]
    assert (stage.processed, stage.requeue_count) == (2, 2)
