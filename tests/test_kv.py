"""Primitives: numbers, flags, sets and lists, each operation one round trip with its TTL."""

from __future__ import annotations

from typing import Any

import pytest
from backends import Backend

import coord

KEY = "coord:kv:{thing}"


def test_a_number_is_counted(c: Any) -> None:
    """``incr`` starts from 0 and returns the sum; a number that is missing reads as 0, or as the default."""
    assert c.kv.get_int("visits") == 0
    assert c.kv.get_int("visits", default=-1) == -1
    assert c.kv.incr("visits") == 1
    assert c.kv.incr("visits", 5) == 6
    assert c.kv.incr("visits", -10) == -4
    assert c.kv.get_int("visits") == -4


@pytest.mark.parametrize("edge", [2**53, 2**53 + 1, 10**15, 2**63 - 2, -(2**63) + 1])
def test_numbers_are_exact_to_64_bits(c: Any, edge: int) -> None:
    """The sum that is returned is the one that is stored, to the last digit."""
    assert c.kv.incr("n", edge) == edge
    assert c.kv.incr("n", 1) == edge + 1
    assert c.kv.get_int("n") == edge + 1
    assert c.kv.incr("n", -1) == edge


@pytest.mark.parametrize(("most", "delta"), [(2**63 - 1, 1), (-(2**63), -1)])
def test_an_overflow_changes_nothing(c: Any, most: int, delta: int) -> None:
    """A sum that leaves 64 bits is an error, and the number stays."""
    c.kv.incr("n", most)
    with pytest.raises(coord.CountOverflow):
        c.kv.incr("n", delta)
    assert c.kv.get_int("n") == most


def test_racing_increments_all_count(backend: Backend, c: Any) -> None:
    """Each of many racers gets a sum of its own, and none is lost."""
    sums = backend.race(lambda at: at.kv.incr("n"))
    assert sorted(sums) == list(range(1, len(sums) + 1))


def test_a_flag_is_set_by_one(backend: Backend, c: Any) -> None:
    """``set_if_absent`` is True for the one that set it, until it expires or is deleted."""
    assert sum(backend.race(lambda at: at.kv.set_if_absent("thing", ttl=60))) == 1
    assert c.kv.get_int("thing") == 1
    backend.later(61)
    assert c.kv.set_if_absent("thing", ttl=60) is True


def test_a_set_has_members(c: Any) -> None:
    """``sadd`` and ``srem`` say how many members came or went; a set without members is gone."""
    assert c.kv.sadd("online", "anna", "bert", "anna") == 2
    assert c.kv.sadd("online", "bert", "carl") == 1
    assert c.kv.scard("online") == 3
    assert c.kv.srem("online", "anna", "nobody") == 1
    assert c.kv.srem("online", "bert", "carl") == 2
    assert c.kv.scard("online") == 0
    assert c.kv.expire("online", ttl=60) is False


def test_a_list_is_appended_to_and_read(c: Any) -> None:
    """``rpush`` returns the length; ``lrange`` counts from 0, or from the end with negative places."""
    assert c.kv.rpush("log", "a", "b") == 2
    assert c.kv.rpush("log", "c") == 3
    assert c.kv.lrange("log") == ["a", "b", "c"]
    assert c.kv.lrange("log", 1, 1) == ["b"]
    assert c.kv.lrange("log", -2) == ["b", "c"]
    assert c.kv.lrange("log", 5, 9) == []
    assert c.kv.lrange("nothing") == []


def test_values_are_any_text(c: Any) -> None:
    """Members and values may be empty, long, and of any characters."""
    values = ["", "NUL \x00 inside", "línea\r\n2", "✓ 🙂", "x" * 100_000]
    c.kv.rpush("log", *values)
    assert c.kv.lrange("log") == values
    assert c.kv.sadd("set", *values) == len(values)


def test_ten_thousand_values_are_pushed_in_one_step(c: Any) -> None:
    """More values than a Lua stack holds still go in at once, in order."""
    values = [str(i) for i in range(10_000)]
    assert c.kv.rpush("log", *values) == 10_000
    assert c.kv.lrange("log") == values
    assert c.kv.sadd("set", *values) == 10_000
    assert c.kv.srem("set", *values) == 10_000


def test_keys_are_deleted(c: Any) -> None:
    """``delete`` takes keys of every kind and says how many were there."""
    c.kv.incr("number")
    c.kv.sadd("set", "member")
    c.kv.rpush("list", "value")
    assert c.kv.delete("number", "set", "list", "nothing") == 3
    assert c.kv.delete("number") == 0
    assert c.kv.get_int("number") == 0


@pytest.mark.parametrize(
    ("operation", "arguments"), [("incr", ()), ("set_if_absent", ()), ("sadd", ("a",)), ("rpush", ("a",))]
)
def test_every_write_brings_its_ttl(backend: Backend, c: Any, operation: str, arguments: tuple[str, ...]) -> None:
    """A key is kept for the default TTL, or for the one that its last write asked for."""
    write = getattr(c.kv, operation)
    write("thing", *arguments)
    assert backend.left(KEY) == pytest.approx(3600, abs=0.2)
    c.kv.delete("thing")
    write("thing", *arguments, ttl=60)
    assert backend.left(KEY) == pytest.approx(60, abs=0.2)
    backend.later(61)
    assert c.kv.expire("thing") is False


def test_expire_changes_how_long_a_key_is_kept(backend: Backend, c: Any) -> None:
    """``expire`` counts from now, whatever the key holds; False without a key."""
    assert c.kv.expire("thing", ttl=5) is False
    c.kv.rpush("thing", "value")
    assert c.kv.expire("thing", ttl=5) is True
    assert backend.left(KEY) == pytest.approx(5, abs=0.2)


@pytest.mark.permanent
def test_without_a_default_ttl_keys_stay(backend: Backend) -> None:
    """A coordinator without a default TTL makes permanent keys, and its ``expire`` makes a key permanent."""
    c = backend.connect(ttl=None)
    c.kv.incr("number", ttl=60)
    assert c.kv.expire("number") is True
    c.kv.sadd("set", "member")
    backend.later(365 * 24 * 3600)
    assert c.kv.get_int("number") == 1
    assert c.kv.scard("set") == 1


def test_text_at_the_key_of_a_number_is_an_error(backend: Backend, c: Any) -> None:
    """A key with a value that coord never wrote can neither be read nor counted, and stays as it is."""
    for value in ("five", "1.0", "9" * 4301, "0x10", " 5"):
        backend.plant(KEY, value)
        for call in (lambda: c.kv.get_int("thing"), lambda: c.kv.incr("thing")):
            with pytest.raises(coord.Corrupt):
                call()
        assert backend.stored[KEY][1] == value


def test_a_counter_of_a_fixed_window_keeps_its_ttl(backend: Backend, c: Any) -> None:
    """With ``keep_ttl`` the window that the first count began ends in time."""
    c.kv.incr("thing", ttl=60, keep_ttl=True)
    backend.later(50)
    assert c.kv.incr("thing", ttl=60, keep_ttl=True) == 2
    assert backend.left(KEY) == pytest.approx(10, abs=0.2)
    backend.later(11)
    assert c.kv.incr("thing", ttl=60, keep_ttl=True) == 1


def test_the_same_id_counts_once(c: Any) -> None:
    """A caller's own id, of a message say, makes a repetition safe: it gets the first answer."""
    for _ in range(2):
        assert c.kv.incr("n", 5, op_id="message-1") == 5
        assert c.kv.sadd("set", "a", "b", op_id="message-1") == 2
        assert c.kv.rpush("list", "a", op_id="message-1") == 1
        assert c.kv.set_if_absent("flag", op_id="message-1") is True
    assert c.kv.set_if_absent("flag", op_id="message-2") is False
    assert c.kv.incr("n", 5, op_id="message-2") == 10
