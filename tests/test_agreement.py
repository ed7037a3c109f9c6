"""Every script and its twin agree: random histories in virtual time, on every server there is.

``COORD_HISTORIES`` says how many histories each server is given (2,000). They are the same in every run, so that a
red build is red again; ``COORD_SEED=random`` draws new ones.
"""

from __future__ import annotations

import inspect
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
from backends import covered, wanted
from reporting import say

import coord
from coord.errors import ConfigError
from coord.script import Script, all_scripts
from coord.testing.agreement import (
    AgedSide,
    Disagreement,
    LuaSide,
    Seen,
    ServerSide,
    Tally,
    TwinSide,
    check,
    check_agreement,
    serving,
)
from coord.testing.clock import Clock, why_not
from coord.testing.servers import Engine, Server

HISTORIES = int(os.environ.get("COORD_HISTORIES", "2000"))
FIXED = os.environ.get("COORD_SEED") != "random"

SERVERS = [pytest.param(engine, id=name) for name, engine in covered().items()]
on_every_server = pytest.mark.parametrize("engine", SERVERS)


@on_every_server
def test_every_script_agrees_with_its_twin(engine: Engine) -> None:
    """On a real server, every script gives its twin's reply and leaves its twin's keys, at every moment."""
    with serving(engine) as (side, clock):
        tally = check_agreement(
            all_scripts(), [side], clock, histories=HISTORIES, words=words(spublish=engine.version >= (7,)), fixed=FIXED
        )
    tell(side.name, tally)
    if why_not():
        say(f"agreement: time was not virtual: {why_not()}")


def test_every_script_agrees_with_its_twin_by_lupa() -> None:
    """The shipped Lua, run on a keyspace of this process, gives its twin's reply and leaves its twin's keys."""
    clock = Clock()
    tally = check_agreement(
        all_scripts(), [LuaSide(clock)], clock, histories=HISTORIES, words=words(spublish=True), fixed=FIXED
    )
    tell("lupa", tally)


@pytest.mark.skipif("fakeredis" not in wanted(), reason="COORD_ENGINES leaves fakeredis out")
def test_fakeredis_agrees_too() -> None:
    """A third voice. It counts time in floats, so its histories keep to whole milliseconds and off the deadlines."""
    # An error is no text to its scripts, so that one which looks into it cannot keep a refusal for a repeated call.
    drawn = {**words(spublish=True), "repeated": ("0",)}
    with faking() as (side, clock):
        tally = check_agreement(all_scripts(), [side], clock, histories=HISTORIES, words=drawn, fixed=FIXED)
    tell(side.name, tally)


@on_every_server
def test_long_argument_lists_agree(engine: Engine) -> None:
    """Scripts that take arguments to the end of ARGV take a thousand groups of them, past every batch's limit."""
    with serving(engine) as (side, clock):
        for script in all_scripts():
            assert script.header is not None
            group = [argument for argument in script.header.argv if argument.repeats]
            if group:
                twin = TwinSide(clock)
                side.begin()
                values = [1 if argument.type == "int" else f"{number}" for number in range(1_000) for argument in group]
                keys = [f"{{a}}:{key.word}" for key in script.header.keys]
                # Twice: the second time everything is there already.
                for _ in range(2):
                    check(twin, [side], script, keys, [*(60_000 for _ in script.header.fixed), *values])


@pytest.mark.slow
def test_keys_are_aged_by_hand_where_there_is_no_compiler() -> None:
    """The fallback without virtual time compares as well, in whole seconds, and its name says so."""
    engine = next(iter(covered().values()))
    clock = Clock()
    with Server(engine) as server:
        side = AgedSide(server, clock)
        tally = check_agreement(
            all_scripts(), [side], clock, histories=min(HISTORIES, 100), words=words(spublish=engine.version >= (7,))
        )
        side.close()
    assert tally.calls.total() > 0
    assert "aged by hand" in side.name


def test_a_script_that_declares_no_types_is_refused_by_name() -> None:
    """Without a header nothing says what to draw; the error names the file."""
    bare = Script("bare", "return 1", lambda space: 1)
    with pytest.raises(ConfigError, match=r"bare\.lua: without a header"):
        check_agreement([bare], [], Clock())


def test_a_script_without_a_twin_is_refused_by_name() -> None:
    """There is nothing to compare it with; the error names the file."""
    alone = Script("once", source("once"))
    with pytest.raises(ConfigError, match=r"once\.lua: without a twin"):
        check_agreement([alone], [], Clock())


@pytest.mark.slow
def test_every_shipped_script_can_be_drawn() -> None:
    """Each script's header gives every argument a type, so that a new script is compared as soon as it is there."""
    for script in all_scripts():
        check_agreement([script], [], Clock(), histories=1)


# --- the machine is awake ------------------------------------------------------------------------
# Each line breaks one side in one place. A comparison that does not notice is worth nothing.


class Mutant(NamedTuple):
    """A script with a fault: in which of its two tellings, and which words are put in place of which."""

    script: str
    where: str
    old: str
    new: str


MUTANTS = [
    Mutant("once", "lua", ', "PX", ttl_ms', ""),
    Mutant("once", "lua", "attempt == nonce or", "false or"),
    Mutant("claim", "lua", "holder ~= owner", "attempt ~= nonce"),
    Mutant("claim", "lua", "left_ms < tonumber(ttl_ms)", "true"),
    Mutant("claim", "lua", 'redis.call("EXISTS", tombstone, answered) > 0', "false"),
    Mutant("claim", "lua", "fence = later(fence)", "fence = later()"),
    Mutant("claim", "lua", "before < now then", "before <= now then"),
    Mutant("renew", "lua", 'redis.call("PEXPIRE", claim, ttl_ms)', ""),
    Mutant("renew", "lua", "attempt ~= nonce", "attempt == ''"),
    Mutant("release", "lua", '"||" .. fence', '"||0"'),
    Mutant("release", "lua", 'redis.call("SET", tombstone, by, "PX", tombstone_ms)', ""),
    Mutant("release", "lua", 'redis.call("SET", tombstone, "", "PX", tombstone_ms)', ""),
    Mutant("bump", "lua", 'newest, "PX", ttl_ms', "newest"),
    Mutant("bump", "lua", "9007199254740992", "9.1e15"),
    Mutant("bump", "lua", 'redis.call("SET", op, kept, "PX", remember_ms)', ""),
    Mutant("bump", "lua", "string.find(kept, call, 1, true) == 1", "false"),
    Mutant("bump_if_current", "lua", "newest ~= known", "tonumber(newest) > tonumber(known)"),
    Mutant("merge", "lua", "and 854775808 or", "and 854775807 or"),
    Mutant("merge", "lua", "unpack(counts, i, math.min(i + 999, #counts))", "'', '1'"),
    Mutant("merge", "lua", "refresh(stats, ttl_ms)", ""),
    Mutant("consume", "lua", 'redis.call("PEXPIRE", batch, remember_ms)', ""),
    Mutant("kv_incr", "lua", "math.abs(total) < 9007199254740992", "true"),
    Mutant("kv_incr", "lua", 'if ttl_ms == "0" then redis.call("PERSIST", key)', 'if ttl_ms == "0" then'),
    Mutant("kv_incr", "lua", 'string.find(kept, sequence .. "|", 1, true) == 1', "true"),
    Mutant("kv_srem", "lua", "remember(op, sequence, remember_ms, changed)", ""),
    Mutant("barrier_arrive", "lua", "first == nonce", "false"),
    Mutant("barrier_arrive", "lua", "now_ms() <= tonumber", "now_ms() < tonumber"),
    Mutant("barrier_arrive", "lua", "refresh(barrier, has[6])", ""),
    Mutant("barrier_arrive", "lua", "remaining == 0 and 1 or 0", "0"),
    Mutant("barrier_open", "lua", "now <= tonumber", "now < tonumber"),
    Mutant("barrier_status", "lua", "found, has = last, before", "found, has = barrier, has"),
    Mutant("execution_begin", "lua", "holder ~= owner", "current ~= attempt"),
    Mutant("execution_begin", "lua", "has[5] ~= fingerprint", "false"),
    Mutant("execution_begin", "lua", "fence = later(fence)", "fence = later()"),
    Mutant("execution_begin", "lua", "EXISTS", "TYPE"),
    Mutant("execution_complete", "lua", "has[2] == attempt", "true"),
    Mutant("execution_complete", "lua", 'redis.call("PEXPIRE", execution, keep_ms)', ""),
    Mutant("execution_complete", "lua", 'redis.call("SET", tombstone, "done", "PX", tombstone_ms)', ""),
    Mutant("execution_abandon", "lua", 'has[1] == "running" and', ""),
    Mutant("execution_abandon", "twin", 'space.set(tombstone, "none", px=tombstone_ms)', "pass"),
    Mutant("execution_renew", "lua", "has[2] ~= attempt", "false"),
    Mutant("execution_forget", "lua", 'remember(op, sequence, remember_ms, "1")', ""),
    Mutant("execution_status", "lua", 'redis.call("PTTL", execution)', "0"),
    Mutant("request_done", "lua", 'has[3] == "done|" .. nonce', "false"),
    Mutant("request_done", "lua", "has[2] - 1", "has[2]"),
    Mutant("semaphore_claim", "lua", "used + weight > tonumber(limit)", "used > tonumber(limit)"),
    Mutant("semaphore_claim", "lua", 'string.format("(%.0f", now)', 'string.format("%.0f", now)'),
    Mutant("semaphore_claim", "lua", 'redis.call("EXISTS", tombstone, answered) > 0', "false"),
    Mutant("semaphore_release", "lua", "weight - used", "-used"),
    Mutant("semaphore_release", "lua", "attempt == nonce", "true"),
    Mutant("semaphore_release", "lua", "now + tombstone_ms", "0"),
    Mutant("group_join", "lua", 'lives and takes == "0"', "false"),
    Mutant("group_join", "lua", "if deadline < now then", "if deadline <= now then"),
    Mutant("group_beat", "lua", "nonce == ARGV[i + 1] and 1 or 2", "1"),
    Mutant("group_members", "lua", "if deadline >= now then", "if deadline > now then"),
    Mutant("claim", "twin", "later(space, fence)", "later(space, None)"),
    Mutant("claim", "twin", "px=ttl_ms", "px=ttl_ms + 1"),
    Mutant("claim", "twin", "holder != owner", "holder == owner"),
    Mutant("release", "twin", 'space.set(tombstone, "", px=tombstone_ms)', "pass"),
    Mutant("holder", "twin", '["", fence, 0]', '["", "0", 0]'),
    Mutant("bump", "twin", "px=ttl_ms", "px=0"),
    Mutant("consume", "twin", "space.rename(stats, batch)", "space.delete(stats)"),
    Mutant("merge", "twin", "<= total <=", "< total <"),
    Mutant("kv_incr", "twin", "refresh(space, number, ttl_ms)", "pass"),
    Mutant("kv_expire", "twin", "return 1", "return 0"),
    Mutant("kv_lrange", "twin", "start, stop", "start, stop - 1"),
]


@pytest.fixture(scope="module")
def living() -> Iterator[tuple[ServerSide, Clock]]:
    """A server in virtual time, for all mutants; where there is no server, fakeredis."""
    if covered():
        with serving(next(iter(covered().values()))) as opened:
            yield opened
    else:
        with faking() as opened:
            yield opened


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: f"{mutant.script}-{mutant.where}: {mutant.old}")
def test_a_fault_is_found(mutant: Mutant, living: tuple[ServerSide, Clock]) -> None:
    """A fault in a script or in a twin is found within a few hundred histories of its family."""
    side, clock = living
    broken = mutated(mutant)
    assert broken.header is not None
    shape = broken.header.keys[0].shape
    family = [broken if script.name == broken.name else script for script in all_scripts() if meets(script, shape)]
    with pytest.raises(Disagreement):
        check_agreement(family, [side], clock, histories=3000, words=words(spublish=False), shorten=False)


def test_what_a_twin_raises_is_shown_as_itself(living: tuple[ServerSide, Clock]) -> None:
    """With the call, and with the shortest history; the reply that it leaves unread confuses no later call."""
    side, clock = living
    once = next(script for script in all_scripts() if script.name == "once")

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
    assert any("state.step(step=once(" in note for note in notes)


def test_a_keyspace_that_is_a_millisecond_early_is_found(
    living: tuple[ServerSide, Clock], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key that dies at its deadline, and not after it, is noticed: pauses end on the very millisecond."""
    side, clock = living
    if side.unit_us > 1:
        pytest.skip("without virtual time no history stops on a deadline")
    monkeypatch.setattr(TwinSide, "begin", lambda self: vars(self).update(space=Hasty(lambda: clock.now_us)))
    with pytest.raises(Disagreement):
        check_agreement(all_scripts(), [side], clock, histories=3000, words=words(spublish=False), shorten=False)


class Hasty(coord.Keyspace):
    """A keyspace that removes keys when their time is up, one millisecond before Redis does."""

    def call(self, twin: Any, *args: str | int) -> Any:
        def in_haste(space: coord.Keyspace, *args: str | int) -> Any:
            for key in [key for key, entry in self._entries.items() if entry[1] <= self._now]:
                space.delete(key)
            return twin(space, *args)

        return super().call(in_haste, *args)


def mutated(mutant: Mutant) -> Script:
    script = next(script for script in all_scripts() if script.name == mutant.script)
    if mutant.where == "lua":
        return Script(script.name, replaced(script.source, mutant), script.twin, file=script.file)
    assert script.twin is not None
    twin: Any = script.twin
    made = dict(twin.__globals__)
    exec(replaced(inspect.getsource(twin), mutant), made)
    return Script(script.name, script.source, made[twin.__name__], file=script.file)


def replaced(text: str, mutant: Mutant) -> str:
    assert mutant.old in text, f"{mutant.script} does not say {mutant.old!r} any more: the mutant needs new words"
    return text.replace(mutant.old, mutant.new)


def meets(script: Script, shape: str) -> bool:
    assert script.header is not None
    return script.header.keys[0].shape.partition("{")[0] == shape.partition("{")[0]


# --- sides ---------------------------------------------------------------------------------------


def words(*, spublish: bool) -> dict[str, tuple[Any, ...]]:
    """What the types in the headers do not say.

    A barrier has parties, a semaphore a small limit; stages and roots travel encoded, without control characters;
    Redis 6.2 has no SPUBLISH. Calls of a limiter meet at the same rates, and their costs mostly fit.
    """
    return {
        "parties": (1, 2, 3),
        "limit": (1, 2, 3, 3, 3, 3, 10**9 + 1),
        "weight": (1, 1, 1, 1, 1, 2, 0),
        "name": ("a", "a", "a", "b", "ö:{"),
        "member": ("x", "x", "x", "y", "\n€"),
        "nonce": ("x", "x", "x", "x", "y", "z|1", Seen(1)),
        # A grant shows the permit and, newer, its fence.
        "permit": ("", "x|1|5|y", "used", "=x", *(Seen(back) for back in (0, 1, 1, 1, 1, 3))),
        "rate": (*("3/1000",) * 6, "7/1000000", "x"),
        "parts": (3, 3, 7, 2**50),
        "cost_us": (*(1, 333, 1_000_000, 5_000_000) * 4, 2**50, 2**50 + 1),
        "cost_part": (0, 1, 2),
        "burst_us": (334, 1_000_000, 2_000_000, 5_000_000),
        "wait_ms": (1, 1_000, 30_000, 10**9),
        "burst_part": (0, 1, 2),
        "amount": (1, 2, 3, 3, 5, 10, 0),
        "per": (*(1_000, 60_000) * 6, 0),
        "most": (*(10, 30) * 4, 3, 10**15, 10**15 + 1),
        "actual": (-1, 0, 3, 20, 10**15, 10**15 + 1),
        "stage": ("x", "ö%3A"),
        "root": ("1", "1", "|"),
        # An attempt has to run when it is completed.
        "key": ("a", "a", "a", "ö:{"),
        "attempt": ("x", "x", "x", "z|1"),
        "fingerprint": ("", "", "=x"),
        "lease_ms": (1_000, 30_000, 3_600_000),
        "announce": ("none", "PUBLISH", "SPUBLISH") if spublish else ("none", "PUBLISH"),
        "publish": ("PUBLISH", "SPUBLISH") if spublish else ("PUBLISH",),
    }


@contextmanager
def faking() -> Iterator[tuple[ServerSide, Clock]]:
    """fakeredis, with a clock put in the place of its own."""
    import fakeredis._helpers
    import fakeredis._socket._base
    import fakeredis.commands_mixins.server_mixin

    clock = Clock()
    hand = SimpleNamespace(**{**vars(time), "time": lambda: clock.now_us / 1e6})
    client = fakeredis.FakeRedis(decode_responses=True, protocol=2)
    with pytest.MonkeyPatch.context() as patch:
        for module in (
            fakeredis._helpers,
            fakeredis._socket._base,
            fakeredis.commands_mixins.server_mixin,
        ):
            patch.setattr(module, "time", hand)
        side = ServerSide(name="fakeredis", connection=client.connection_pool.get_connection())
        # It keeps deadlines as floats, in seconds: equal moments need not be equal there.
        side.unit_us = 1_000
        yield side, clock
        side.close()
        client.close()


def source(name: str) -> str:
    return next(script for script in all_scripts() if script.name == name).source


def tell(name: str, tally: Tally) -> None:
    """Tell how much was compared, and see to it that no script was left out."""
    say(f"agreement: {name}: {tally}")
    silent = [script.name for script in all_scripts() if not tally.calls[script.name]]
    # A short run meets a script that is drawn rarely only by luck.
    assert HISTORIES < 1_000 or not silent, f"never called: {silent}"
