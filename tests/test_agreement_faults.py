"""The comparison is awake: what is broken in one place is found, and the message says what differs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from agreeing import WORDS, faking, script
from backends import covered
from mutated import Mutant, mutated

import coord
from coord.script import Script, all_scripts
from coord.testing.agreement import Disagreement, LuaSide, ServerSide, TwinSide, check_agreement, serving
from coord.testing.clock import Clock


@pytest.fixture(scope="module")
def living() -> Iterator[tuple[ServerSide, Clock]]:
    """A server in virtual time; where there is no server, fakeredis."""
    with serving(next(iter(covered().values()))) if covered() else faking() as opened:
        yield opened


@pytest.mark.parametrize(
    ("script_name", "old", "new", "what"),
    [
        ("release", 'redis.call(publish, claim, "free")', "", "notices"),
        ("release", "return 1", 'redis.call(publish, claim, "free")\n  return 1', "notices"),
        ("barrier_fire", "return fired == nonce and 1 or 0", "return 0", "its twin"),
        ("kv_get_int", "return { value or nil }", 'return redis.error_reply("COORD_NEW none")', "COORD_NEW"),
    ],
)
def test_the_message_says_what_differs(
    script_name: str, old: str, new: str, what: str, living: tuple[ServerSide, Clock]
) -> None:
    """On a real server too, where notices travel over the connection."""
    side, clock = living
    if side.name == "fakeredis" and what == "notices":
        pytest.skip("fakeredis cannot observe notices")
    broken = mutated(Mutant(script_name, "lua", old, new))
    scripts = [broken if each.name == broken.name else each for each in all_scripts()]
    with pytest.raises(Disagreement, match=what):
        check_agreement(scripts, [side], clock, histories=100, words=WORDS, only=[script_name])


@pytest.mark.parametrize(
    ("script_name", "old", "new", "what"),
    [
        ("renew", "space.pexpire(claim, ttl_ms)", "space.persist(claim)", "without a TTL"),
        ("version", "return _newest", 'space.set(version, "1"); return _newest', "writes nothing"),
        ("kv_expire", "return 1", 'space.set("other", "1"); return 1', "not one of its keys"),
        ("request_register", "return 1", 'space.hincrby(request, "n", 1); return 1', "when it is repeated"),
        ("kv_incr", "return total", 'raise ReplyError("COORD_OVERFLOW too late")', "after it changed"),
        ("bump", "return newest", 'raise ReplyError("ERR what is this")', "ERRORS does not have"),
    ],
)
def test_what_a_header_does_not_allow_is_found(script_name: str, old: str, new: str, what: str) -> None:
    """Also when Lua and twin agree about it: there is no backend here to disagree."""
    broken = mutated(Mutant(script_name, "twin", old, new))
    scripts = [broken if each.name == broken.name else each for each in all_scripts()]
    with pytest.raises(Disagreement, match=what):
        check_agreement(scripts, [], Clock(), histories=100, words=WORDS, only=[script_name])


@pytest.mark.slow
def test_an_outcome_that_no_call_can_have_is_named() -> None:
    """A script whose header promises more than its Lua does fails by name, without being listed anywhere."""
    text = script("kv_scard").text.replace("-- ERRORS WRONGTYPE", "-- ERRORS WRONGTYPE, COORD_FULL")
    made = Script("kv_scard", text, script("kv_scard").twin)
    clock = Clock()
    tally = check_agreement([made], [LuaSide(clock)], clock, histories=10, least=2)
    assert tally.unreached(2) == ["kv_scard: COORD_FULL: 0 of 2"]


def test_what_a_twin_raises_is_shown_as_itself(living: tuple[ServerSide, Clock]) -> None:
    """With the call, and with the shortest history; the reply that it leaves unread confuses no later call."""
    side, clock = living
    once = script("once")

    def twin(
        space: Any,
        once: str,
        answered: str,
        owner: str,
        nonce: str,
        ttl_ms: int,
        keep_ms: int,
        tombstone_ms: int,
        repeated: str,
    ) -> int:
        raise KeyError(nonce)

    broken = Script("once", once.text, twin)
    with pytest.raises(KeyError) as raised:
        check_agreement([broken], [side], clock, histories=50)
    notes = raised.value.__notes__
    assert notes[0].startswith("the twin of once.lua raised it, keys=['coord:once:{")
    assert "fixed once 0: 1 steps" in notes[-1]


def test_a_failure_replays_from_its_seed() -> None:
    """The same seed gives the same calls, and the same shortest history."""
    broken = mutated(Mutant("bump", "twin", "px=ttl_ms", "px=0"))
    scripts = [broken if each.name == broken.name else each for each in all_scripts()]
    told = []
    for _ in range(2):
        clock = Clock()
        with pytest.raises(Disagreement) as raised:
            check_agreement(scripts, [LuaSide(clock)], clock, histories=50, words=WORDS, only=["bump"], seed=7)
        told.append((str(raised.value), raised.value.__notes__))
    assert told[0] == told[1]
    assert ": 7 " in told[0][1][-1]


def test_a_keyspace_that_is_a_millisecond_early_is_found(
    living: tuple[ServerSide, Clock], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key that dies at its deadline, and not after it, is noticed: pauses end on the very millisecond."""
    side, clock = living
    if side.unit_us > 1:
        pytest.skip("without virtual time no history stops on a deadline")
    monkeypatch.setattr(TwinSide, "begin", lambda self: vars(self).update(space=Hasty(lambda: clock.now_us)))
    with pytest.raises(Disagreement):
        check_agreement(all_scripts(), [side], clock, histories=3000, words=WORDS, shorten=False)


class Hasty(coord.Keyspace):
    """A keyspace that removes keys when their time is up, one millisecond before Redis does."""

    def answer(self, script: Any, keys: Any, argv: Any, read: Any) -> Any:
        self.call(Hasty.remove_what_is_due)
        return super().answer(script, keys, argv, read)

    def remove_what_is_due(self) -> None:
        for key in [key for key, entry in self._entries.items() if entry[1] <= self._now]:
            self.delete(key)
