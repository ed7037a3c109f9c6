"""The keyspace in this process means by each command what Redis means by it, and does not grow without end."""

from __future__ import annotations

import os
import re
import threading
import tracemalloc
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
from backends import covered
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from reporting import say

import coord
from coord.claims import ONCE
from coord.errors import ReplyError
from coord.script import Script
from coord.testing.agreement import Answer, Failed, ServerSide, TwinSide, check, serving
from coord.testing.clock import START_US, Clock, why_not
from coord.testing.servers import Engine

HISTORIES = max(1, int(os.environ.get("COORD_HISTORIES", "2000")) // 5)

# --- commands, one by one ------------------------------------------------------------------------

KEYS = st.sampled_from(["a", "b", "ö"])
TEXTS = st.sampled_from(["", "x", "y", "-7", "007", " 1", "1.5", "٣", "9" * 19, str(2**63 - 1), str(-(2**63)), "€\0\n"])
FIELDS = st.sampled_from(["", "f", "g"])
WHOLE = st.sampled_from([0, 1, -1, 5, 2**52, 2**63 - 1, -(2**63), -(2**63) + 1]) | st.integers(-20, 20)
PLACES = st.integers(-5, 5)
SCORES = st.sampled_from([-2, 0, 1, 7, 2**53 - 1])
NOW_MS = START_US // 1000
TTLS = st.sampled_from([1, 2, 1000, 1001, 5000, 10**12, 2**63 - 1])
MS = TTLS | st.sampled_from([0, -1, -(2**63)])
SECONDS = st.sampled_from([0, -1, 1, 5, 2**43, 2**63 - 1, -(2**63)])
MOMENTS = st.sampled_from([0, 1, *(NOW_MS + off for off in (-1, 0, 1, 1000)), 2**52])
PAUSES = st.sampled_from([0, 0, 0, 1, 999, 1_000, 1_001, 999_000, 1_000_000, 1_001_000, 5_000_000])


def some(words: st.SearchStrategy[str]) -> st.SearchStrategy[list[str]]:
    return st.lists(words, min_size=1, max_size=3)


def each(*parts: Any) -> st.SearchStrategy[list[Any]]:
    """A command's words, in order; a strategy for several stands for as many words."""
    drawn = st.tuples(*(part if isinstance(part, st.SearchStrategy) else st.just(part) for part in parts))
    return drawn.map(lambda words: [word for part in words for word in (part if isinstance(part, list) else [part])])


COMMANDS = st.one_of(
    each("EXISTS", some(KEYS)),
    each("DEL", some(KEYS)),
    each("TYPE", KEYS),
    each("RENAME", KEYS, KEYS),
    each("TIME"),
    each("PEXPIRE", KEYS, MS),
    each("EXPIRE", KEYS, SECONDS),
    each("PEXPIREAT", KEYS, MOMENTS),
    each("PERSIST", KEYS),
    each("PTTL", KEYS),
    each("TTL", KEYS),
    each("GET", KEYS),
    each("SET", KEYS, TEXTS),
    each("SET", KEYS, TEXTS, "PX", TTLS),
    each("SET", KEYS, TEXTS, "NX"),
    each("SET", KEYS, TEXTS, "PX", TTLS, "NX"),
    each("SET", KEYS, TEXTS, "KEEPTTL"),
    each("SETNX", KEYS, TEXTS),
    each("INCRBY", KEYS, WHOLE),
    each("HGET", KEYS, FIELDS),
    each("HMGET", KEYS, some(FIELDS)),
    each("HGETALL", KEYS),
    each("HEXISTS", KEYS, FIELDS),
    each("HLEN", KEYS),
    each("HSET", KEYS, FIELDS, TEXTS),
    each("HSET", KEYS, FIELDS, TEXTS, FIELDS, TEXTS),
    each("HSETNX", KEYS, FIELDS, TEXTS),
    each("HDEL", KEYS, some(FIELDS)),
    each("HINCRBY", KEYS, FIELDS, WHOLE),
    each("SADD", KEYS, some(TEXTS)),
    each("SREM", KEYS, some(TEXTS)),
    each("SCARD", KEYS),
    each("SISMEMBER", KEYS, TEXTS),
    each("SMEMBERS", KEYS),
    each("RPUSH", KEYS, some(TEXTS)),
    each("LPUSH", KEYS, some(TEXTS)),
    each("RPOP", KEYS),
    each("LPOP", KEYS),
    each("LLEN", KEYS),
    each("LRANGE", KEYS, PLACES, PLACES),
    each("LTRIM", KEYS, PLACES, PLACES),
    each("ZADD", KEYS, SCORES, TEXTS),
    each("ZADD", KEYS, "NX", SCORES, TEXTS),
    each("ZREM", KEYS, some(TEXTS)),
    each("ZCARD", KEYS),
    each("ZSCORE", KEYS, TEXTS),
    each("ZRANGE", KEYS, PLACES, PLACES),
    each("ZRANGEBYSCORE", KEYS, SCORES, SCORES),
    each("ZREMRANGEBYSCORE", KEYS, SCORES, SCORES),
    each("ZREMRANGEBYRANK", KEYS, PLACES, PLACES),
)

STATUS = ("RENAME", "LTRIM")
IN_NO_ORDER = ("HGETALL", "SMEMBERS")


def run(space: coord.Keyspace, name: str, *words: Any) -> Any:
    """The keyspace's method of a command's name, and its answer as it stands on the wire."""
    match (name, *words):
        case ("SET", key, value, *options):
            px = options[1] if "PX" in options else None
            return "OK" if space.set(key, value, px=px, nx="NX" in options, keepttl="KEEPTTL" in options) else None
        case ("ZADD", key, "NX", score, member):
            return space.zadd(key, score, member, nx=True)
        case ("TIME",):
            return [str(part) for part in space.time()]
        case ("TYPE", key):
            return space.type_(key)
        case ("DEL", *keys):
            return space.delete(*keys)
        case _:
            reply = getattr(space, name.lower())(*words)
            return "OK" if name in STATUS else sorted(reply) if name in IN_NO_ORDER else reply


# Only its twin is used: the command itself is sent as it is, since Lua would round what it answers past 2^53.
COMMAND = Script("command", "return redis.call(unpack(ARGV))", run)


class Plain(ServerSide):
    """A server that is sent commands instead of scripts."""

    def ask(self, script: Script, keys: Any, argv: Any) -> None:
        self._script, self._asked = script, argv
        self.send(*argv)

    def answer(self) -> Answer:
        reply, stored, _ = super().answer()
        if isinstance(reply, list) and self._asked[0] in IN_NO_ORDER:
            reply = sorted(reply)
        if isinstance(reply, Failed):
            # Redis 6.2 writes it without the quotes of later versions.
            text = re.sub(r"invalid expire time in (\w+)$", r"invalid expire time in '\1' command", reply.text)
            reply = reply._replace(text=text)
        return Answer(reply, stored)


@pytest.fixture(scope="module", params=[pytest.param(engine, id=name) for name, engine in covered().items()])
def living(request: pytest.FixtureRequest) -> Iterator[tuple[ServerSide, Clock]]:
    engine: Engine = request.param
    with serving(engine) as (side, clock):
        side.__class__ = Plain
        # In RESP2 a command answers what it answers to scripts.
        side.connection.send(["PUNSUBSCRIBE"], ["HELLO", 2])
        side.connection.read()
        yield side, clock


@pytest.mark.slow
def test_commands_mean_what_they_mean_on_a_server(living: tuple[ServerSide, Clock]) -> None:
    """Any row of commands, with any pauses: same replies, same errors, same keys, types, values and TTLs."""
    side, clock = living
    if why_not():
        pytest.skip(f"commands are compared in virtual time only, and there is none: {why_not()}")
    made = 0

    @settings(
        max_examples=HISTORIES,
        derandomize=True,
        database=None,
        deadline=None,
        phases=(Phase.generate, Phase.shrink),
        report_multiple_bugs=False,
        suppress_health_check=(HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example),
    )
    @given(st.lists(st.tuples(PAUSES, COMMANDS), min_size=15, max_size=40))
    def compare(history: list[tuple[int, list[Any]]]) -> None:
        nonlocal made
        clock.set(START_US)
        side.begin()
        twin = TwinSide(clock)
        for pause, words in history:
            clock.advance(us=pause)
            check(twin, [side], COMMAND, (), words)
            made += 1

    compare()
    say(f"keyspace: {side.name}: {made:,} commands, all equal")


# --- it does not grow without end ----------------------------------------------------------------


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def space(clock: Clock) -> coord.Keyspace:
    return coord.Keyspace(lambda: clock.now_us)


@pytest.mark.slow
def test_many_windows_that_nobody_asks_for_again_are_swept_away(space: coord.Keyspace, clock: Clock) -> None:
    """A hundred thousand one-shot claims, 1,000 a second, leave a few seconds' worth of keys and memory."""
    twin: Any = ONCE.twin
    most = 0
    for number in range(100_000):
        clock.advance(ms=1)
        once = f"coord:once:{{{number}}}"
        assert space.call(twin, once, f"{once}:answered:me", "", "me", 2_000, 0, 60_000, "0") == 1
        most = max(most, len(space), space.deadlines)
        if number == 80_000:
            # By now as much goes as comes.
            tracemalloc.start()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 5_000
    assert peak < 2_000_000, f"{peak:,} bytes more for the last 20,000 claims"


def test_what_all_expires_at_once_is_swept_in_small_parts(space: coord.Keyspace, clock: Clock) -> None:
    """No single call pays for a hundred thousand dead keys, and a few thousand calls later all are gone."""
    for number in range(100_000):
        space.call(coord.Keyspace.set, f"k{number}", "v", 1_000)
    clock.advance(ms=10_000)
    sizes = [len(space)]
    while len(space):
        space.call(coord.Keyspace.exists, "nothing")
        sizes.append(len(space))
    assert max(before - after for before, after in pairwise(sizes)) <= 100
    assert len(sizes) <= 100_000 / 16 + 10


@pytest.mark.slow
def test_deleting_and_making_anew_does_not_pile_up(space: coord.Keyspace, clock: Clock) -> None:
    """A key that is deleted and made again, over and over, is known to the sweep a bounded number of times."""
    for _ in range(100_000):
        clock.advance(us=100)
        space.call(coord.Keyspace.set, "k", "v", 60_000)
        space.call(coord.Keyspace.delete, "k")
    assert len(space) == 0
    assert space.deadlines < 10_000


@pytest.mark.slow
def test_renewing_does_not_pile_up(space: coord.Keyspace, clock: Clock) -> None:
    """A key that is renewed a hundred thousand times stays one key that the sweep knows a few times."""
    space.call(coord.Keyspace.set, "k", "v", 30_000)
    for _ in range(100_000):
        clock.advance(us=500)
        space.call(coord.Keyspace.pexpire, "k", 30_000)
    assert len(space) == 1
    assert space.deadlines < 5_000
    assert space.call(coord.Keyspace.pttl, "k") == 30_000


def test_shortened_ttls_are_swept_in_time(space: coord.Keyspace, clock: Clock) -> None:
    """A key whose TTL was cut short goes away by its new deadline, though it was noted for the old one."""
    for number in range(1_000):
        space.call(coord.Keyspace.set, f"k{number}", "v", 3_600_000)
        space.call(coord.Keyspace.pexpire, f"k{number}", 1_000)
    clock.advance(ms=3_000)
    for _ in range(100):
        space.call(coord.Keyspace.exists, "nothing")
    assert len(space) == 0


def test_a_renamed_key_is_swept_under_its_new_name(space: coord.Keyspace, clock: Clock) -> None:
    """A key keeps its deadline when it is renamed, and the sweep finds it."""
    space.call(coord.Keyspace.set, "old", "v", 1_000)
    space.call(coord.Keyspace.rename, "old", "new")
    clock.advance(ms=5_000)
    space.call(coord.Keyspace.exists, "nothing")
    space.call(coord.Keyspace.exists, "nothing")
    assert len(space) == 0


@pytest.mark.slow
def test_threads_share_one_keyspace() -> None:
    """Eight threads that add to one number and push to one list lose nothing, while keys expire around them."""
    space = coord.Keyspace()
    at_once = threading.Barrier(8)

    def work(number: int) -> None:
        at_once.wait()
        for turn in range(5_000):
            space.call(coord.Keyspace.incrby, "sum", 1)
            space.call(coord.Keyspace.set, f"{number}:{turn}", "v", 1)
            space.call(coord.Keyspace.hincrby, "counts", str(number), 1)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert space.call(coord.Keyspace.get, "sum") == "40000"
    assert dict(zip(*[iter(space.call(coord.Keyspace.hgetall, "counts"))] * 2, strict=True)) == {
        str(number): "5000" for number in range(8)
    }


def test_one_winner_among_threads() -> None:
    """Of sixteen threads that ask for the same window at once, one gets it."""
    space = coord.Keyspace()
    at_once = threading.Barrier(16)
    won: list[int] = []

    twin = ONCE.twin
    assert twin is not None

    def ask(number: int) -> None:
        at_once.wait()
        if space.call(
            twin, "coord:once:{a}", f"coord:once:{{a}}:answered:n{number}", "", f"n{number}", 60_000, 0, 1, "0"
        ):
            won.append(number)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1


def test_errors_leave_everything_as_it_was(space: coord.Keyspace) -> None:
    """A command of the wrong kind says so in Redis's words and changes nothing."""
    space.call(coord.Keyspace.rpush, "list", "x")
    before = space.dump()
    with pytest.raises(ReplyError, match=r"^WRONGTYPE "):
        space.call(coord.Keyspace.incrby, "list", 1)
    with pytest.raises(ReplyError, match=r"^WRONGTYPE "):
        space.call(coord.Keyspace.hset, "list", "f", "v")
    assert space.dump() == before


@pytest.mark.parametrize(("command", "place"), [("INCRBYFLOAT", ("n",)), ("HINCRBYFLOAT", ("h", "n"))])
def test_long_doubles_of_more_digits_than_python_reads(command: str, place: tuple[str, ...]) -> None:
    """A long double has up to 4,932 digits, of which Python's int would refuse more than 4,300."""
    space = coord.Keyspace()
    total = space.call(coord.Keyspace.execute, command, *place, "1e4900")
    assert len(total) == 4901
    assert space.call(coord.Keyspace.execute, command, *place, "-0.5") == total
    assert space.call(coord.Keyspace.execute, command, *place, "-" + total) == "0"
    with pytest.raises(ReplyError, match="not a valid float"):
        space.call(coord.Keyspace.execute, command, *place, "9" * 5000)
