"""What goes wrong in this field, and does not go wrong here: each pitfall by its number in the list that coord keeps.

Those of waiting, renewing and lost replies have test files of their own.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from backends import Backend
from operations import EXAMPLES, Example
from redis.crc import key_slot

import coord
from coord.script import all_scripts

SHIPPED = {script.name: script for script in all_scripts()}


def test_a_former_owner_deletes_nothing(backend: Backend, c: Any) -> None:
    """Pitfall 5: a former owner's release takes the claim away from the new one."""
    former = c.claim("job", ttl=5, owner="anna")
    backend.later(6)
    c.claim("job", ttl=30, owner="bert")
    assert former.release() is False
    assert c.holder("job").owner == "bert"


@pytest.mark.parametrize("ttl", [0, -1, 0.0])
def test_a_ttl_of_zero_is_an_error(backend: Backend, c: Any, ttl: float) -> None:
    """Pitfall 9: a TTL of zero deletes the key, and reports success."""
    c.kv.incr("n")
    with backend.untouched(), pytest.raises(ValueError, match="ttl"):
        c.kv.expire("n", ttl=ttl)


def test_fractions_of_seconds_are_milliseconds(backend: Backend, c: Any) -> None:
    """Pitfall 9: a float is sent to PEXPIRE, which is an error, or seconds are taken for milliseconds."""
    c.once("x", ttl=1.2345)
    assert backend.left("coord:once:{x}") == pytest.approx(1.234, abs=0.2)
    assert backend.left("coord:once:{x}") < 1.235


def test_a_script_that_fails_has_written_nothing(backend: Backend, c: Any) -> None:
    """Pitfall 10: a script writes, then fails, and what it wrote stays."""
    c.stats("s").merge("x", last=2**63 - 1)
    with backend.untouched_keys(), pytest.raises(coord.CountOverflow):
        c.stats("s").merge("x", {**{f"field-{i}": 1 for i in range(50)}, "last": 1}, op_id="message-1")


def test_numbers_in_lua_are_exact(c: Any) -> None:
    """Pitfall 11: 2^53+1 comes back as ...992, and 1e14 as "1e+14"."""
    for number in (2**53 + 1, 10**14, 10**14 - 1, 10**15, -(2**53) - 1, 2**63 - 1, -(2**63)):
        c.kv.delete("n")
        assert c.kv.incr("n", number) == number
        c.stats("s").merge("x", n=number)
        assert c.stats("s").consume("x") == {"n": number}


def test_replies_have_no_holes(c: Any) -> None:
    """Pitfall 12: ``{1, nil, 3}`` arrives as ``[1]``. A missing value is answered in another way."""
    assert c.kv.get_int("nothing", default=-1) == -1
    assert c.holder("nothing") is None
    assert c.stats("s").peek("nothing") is None
    assert c.claim("x", owner="anna") is not None
    assert c.claim("x", owner="bert") is None


def test_many_values_pass_through_lua(c: Any) -> None:
    """Pitfall 12: ``unpack`` fails near 8,000 values."""
    assert c.kv.rpush("log", *map(str, range(9_000))) == 9_000
    assert len(c.kv.lrange("log")) == 9_000


def test_a_first_increment_of_any_size_sets_the_ttl(backend: Backend, c: Any) -> None:
    """Pitfall 13: the TTL is set when the count is 1, so ``incr(5)`` never expires."""
    c.kv.incr("n", 5, ttl=60)
    assert backend.left("coord:kv:{n}") == pytest.approx(60, abs=0.2)
    c.kv.incr("m", 0, ttl=60)
    assert backend.left("coord:kv:{m}") == pytest.approx(60, abs=0.2)


def test_the_first_merge_has_a_ttl(backend: Backend, c: Any) -> None:
    """Pitfall 13: EXPIRE comes before HSET, and the first call leaves no TTL."""
    c.stats("s", ttl=60).merge("x", n=1)
    assert backend.left("coord:stats:{x}:s") == pytest.approx(60, abs=0.2)


def test_instances_that_start_together_count_once(backend: Backend, c: Any) -> None:
    """Pitfall 16: several instances seed the same counter on a miss, and it has N times its value."""
    winners = backend.race(lambda at: at.kv.set_if_absent("seeded", ttl=60))
    assert sum(winners) == 1
    merged = backend.race(lambda at: at.stats("s").merge("x", total=100, op_id="the seed"))
    assert merged
    assert c.stats("s").peek("x") == {"total": 100}


def test_no_script_is_given_the_client_s_time() -> None:
    """Pitfall 17: clocks of clients differ. Scripts are given durations, and ask the server what time it is."""
    for script in SHIPPED.values():
        assert script.header is not None
        for argument in script.header.argv:
            assert not re.search(r"(^|_)(now|time|clock|at)(_|$)", argument.word), f"{script.file}: {argument.word}"


@pytest.mark.parametrize("name", ["x", "{a}x{b}", "}", "{}", "a:{b", "%7B", "🙂"])
def test_all_keys_of_a_call_are_in_one_slot(name: str) -> None:
    """Pitfall 18: two keys of one entity in two slots, or a name with braces that moves the tag."""
    calls = coord.connect("memory://pitfalls").calls
    stats = calls.stats(name)
    for call in (
        calls.bump(name),
        calls.bump_if_current(name, 1),
        stats.merge(name, n=1, op_id=name),
        stats.consume(name),
        calls.kv.incr(name),
        calls.kv.delete_one(name),
    ):
        assert len({key_slot(key.encode()) for key in call.keys}) == 1, call.keys
        assert all(key.startswith("coord:") for key in call.keys)


def test_scripts_use_what_every_engine_has() -> None:
    """Pitfall 20: ``TIME`` twice in one script may differ, and libraries are missing in some."""
    for script in SHIPPED.values():
        code = "\n".join(line for line in script.source.splitlines() if not line.startswith("--"))
        assert code.count('redis.call("TIME")') <= 1, script.file
        assert not re.search(r"\b(cjson|cmsgpack|struct|bit|os)\.|math\.random|#!lua", code), script.file


@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_every_key_has_a_ttl(backend: Backend, c: Any, example: Example) -> None:
    """Pitfall 22: a key without TTL leaks, until the server is out of memory."""
    example.run(example.prepare(c))
    assert all(left > 0 for _, _, left in backend.stored.values()), backend.stored


def test_an_expired_flag_is_absent(backend: Backend, c: Any) -> None:
    """Pitfall 23: in memory, set-if-absent on an expired key says no."""
    assert c.kv.set_if_absent("flag", ttl=5) is True
    backend.later(6)
    assert c.kv.set_if_absent("flag", ttl=5) is True


def test_memory_looks_at_the_owner_too(c: Any) -> None:
    """Pitfall 23: in memory, unlocking ignores who asks."""
    mine = c.claim("job", owner="anna")
    assert c.claim("job", owner="bert") is None
    mine.release()
    theirs = c.claim("job", owner="bert")
    assert mine.release() is False
    assert c.holder("job").fence == theirs.fence


def test_an_old_version_never_looks_newer(backend: Backend, c: Any) -> None:
    """Pitfall 24: versions begin again at 1 once the key has expired, and an old message looks newer than a new one."""
    old = max(c.bump("index") for _ in range(5))
    backend.later(3601)
    new = c.bump("index")
    assert new > old
    assert c.is_stale("index", old) is True


def test_the_list_of_pitfalls_is_covered() -> None:
    """Each of these numbers stands in the docstring of a test here."""
    told = set(map(int, re.findall(r'"""Pitfall (\d+):', Path(__file__).read_text(encoding="utf-8"))))
    assert told >= {5, 9, 10, 11, 12, 13, 16, 17, 18, 20, 22, 23, 24}
