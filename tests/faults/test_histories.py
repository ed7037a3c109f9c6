"""Races through faults, recorded and judged: is there one order of events that explains what every caller got?

Eight threads, or ten tasks, claim, renew, release, ask, bump and count on a few names, while connections are reset,
replies are lost, scripts are forgotten and clients are killed. What each was asked and told is written down, and the
law that it is held against is coord's own: the twins, which the agreement tests have held against the scripts.

Three ways to do it wrong, each of which has been done, are then run through the same harness, which has to see them.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from machines import LONG, client_of, dialled, dialled_async
from reporting import say

import coord
from coord.claims import CLAIM, RELEASE
from coord.coordinator import runner_of
from coord.testing.linearizable import History, Operation, check_history, contradiction, record, timed
from coord.testing.proxy import MIXED, LossyProxy
from coord.testing.servers import Server
from coord.versions import BUMP

pytestmark = pytest.mark.proof

TURNS = 1_000 if LONG else 150
NAMES = 3
LIVELY: dict[str, Any] = {"timeout": 0.2, "patience": 20.0, "remember": 60.0}


def _lose(space: coord.Keyspace, claim: str) -> int:
    return space.delete(claim)


LOSE = coord.Script("lose", "return redis.call('DEL', KEYS[1])", _lose)
"""What an eviction, a fail-over or a hasty operator does to a claim."""


@contextlib.contextmanager
def meddling(server: Server) -> Iterator[None]:
    """Forget scripts and kill clients every few milliseconds while the ``with`` block runs."""
    over = threading.Event()

    def meddle() -> None:
        with client_of(server) as client:
            while not over.wait(0.015):
                client.script_flush()
                client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")

    thread = threading.Thread(target=meddle)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _turn(c: Any, chance: random.Random, *, losing: bool) -> None:
    name = f"n{chance.randrange(NAMES)}"
    match chance.randrange(8):
        case 0 | 1 | 2 | 3:
            lease = c.claim(name, ttl=600)
            if lease is not None:
                if chance.random() < 0.3:
                    lease.renew()
                lease.release()
        case 4:
            c.holder(name)
        case 5:
            c.bump(name)
        case 6:
            c.kv.incr(name)
        case _:
            if losing:
                c.run(coord.Call(LOSE, (c.key("claim", name),), (), int))
            else:
                c.once(name, ttl=600)


def threads_race(url: str, *, turns: int = TURNS, losing: bool = False, sabotage: Any = None) -> History:
    """Let eight threads race, and return what was recorded."""
    with dialled(coord.connect, url, **LIVELY) as c:
        if sabotage is not None:
            sabotage(c)
        history = record(c)

        def run(seed: int) -> None:
            chance = random.Random(seed)
            for _ in range(turns):
                with contextlib.suppress(coord.OutcomeUnknown):
                    _turn(c, chance, losing=losing)

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(run, range(8)))
    return history


def test_threads_on_claims_versions_and_numbers_are_linearizable(one_server: Server) -> None:
    with LossyProxy("127.0.0.1", one_server.port, every=40, seed=8) as line, meddling(one_server):
        history = threads_race(line.url, turns=TURNS // 3)
        faults = line.faults.total()
    began = time.monotonic()
    assert check_history(history) == "ok"
    assert len(history) > 8 * (TURNS // 3)
    assert faults > len(history) // 80
    say(
        f"histories: {len(history):,} operations of 8 threads under {faults:,} faults are linearizable "
        f"({time.monotonic() - began:.1f} s to judge)"
    )


def test_tasks_on_claims_versions_and_numbers_are_linearizable(one_server: Server) -> None:
    async def race(url: str) -> History:
        async with await dialled_async(url, **LIVELY) as c:
            history = record(c)

            async def run(seed: int) -> None:
                chance = random.Random(seed)
                for _ in range(TURNS // 3):
                    name = f"n{chance.randrange(NAMES)}"
                    kind = chance.randrange(4)
                    if kind < 2:
                        lease = await c.claim(name, ttl=600)
                        if lease is not None:
                            await lease.release()
                    else:
                        await (c.bump(name) if kind == 2 else c.kv.incr(name))

            await asyncio.gather(*map(run, range(10)))
            return history

    with LossyProxy("127.0.0.1", one_server.port, every=50, mix={**MIXED, "drop_reply": 0.1}, seed=9) as line:
        history = asyncio.run(race(line.url))
        faults = line.faults.total()
    assert check_history(history) == "ok"
    say(f"histories: {len(history):,} operations of 10 tasks under {faults:,} faults are linearizable")


# --- the check is alive --------------------------------------------------------------------------


def sabotaged(*broken: coord.Script) -> Callable[[Any], None]:
    """Have a coordinator send broken scripts in the place of coord's own of the same name."""
    by_name = {script.name: timed(script) for script in broken}

    def sabotage(c: Any) -> None:
        call = runner_of(c).call
        runner_of(c).call = c.call = lambda script, *rest: call(by_name.get(script.name, script), *rest)

    return sabotage


def edited(script: coord.Script, *edits: tuple[str, str]) -> coord.Script:
    """A script with parts of it put otherwise."""
    source = script.source
    for old, new in edits:
        assert source.count(old) == 1, f"{script.file} has changed: {old!r}"
        source = source.replace(old, new)
    return coord.Script(script.name, source)


NO_TOMBSTONE = edited(
    RELEASE,
    ('local answered = redis.call("GET", tombstone)', "local answered = false"),
)
"""It keeps no tombstone: the repetition of a release answers that the claim was not held."""

LAST_SLOT = edited(
    RELEASE,
    (
        'redis.call("SET", tombstone, by, "PX", tombstone_ms)',
        'redis.call("SET", claim .. ":last", nonce, "PX", tombstone_ms)',
    ),
    (
        'local answered = redis.call("GET", tombstone)',
        'local answered = redis.call("GET", claim .. ":last") == nonce and by',
    ),
)
"""It remembers only the last release: after another's in between, the repetition gets another answer."""

COUNTED_FENCE = edited(CLAIM, ("fence = later(fence)", 'fence = string.format("%.0f", tonumber(fence or "0") + 1)'))
"""Fences by counting: after the key was lost they begin at 1 again."""

COUNTED_VERSION = edited(
    BUMP, ("newest = later(newest)", 'newest = string.format("%.0f", tonumber(newest or "0") + 1)')
)


@pytest.mark.parametrize("broken", [NO_TOMBSTONE, LAST_SLOT], ids=["no tombstone", "last released slot"])
def test_a_release_that_forgets_is_caught(one_server: Server, broken: coord.Script) -> None:
    with LossyProxy("127.0.0.1", one_server.port, every=25, mix={"reset_reply": 1}, seed=3) as line:
        history = threads_race(line.url, turns=100, sabotage=sabotaged(broken))
    assert check_history(history) == "illegal"


def test_fences_that_are_counted_are_caught(one_server: Server) -> None:
    history = threads_race(one_server.url, turns=100, losing=True, sabotage=sabotaged(COUNTED_FENCE))
    assert check_history(history) == "illegal"


def test_fences_of_the_clock_survive_the_loss_of_their_key(one_server: Server) -> None:
    """The same race, without the sabotage."""
    assert check_history(threads_race(one_server.url, turns=100, losing=True)) == "ok"


def test_sends_that_the_client_repeats_by_itself_are_caught(one_server: Server) -> None:
    """redis-py's default: the same command again, and no id by which the server could know it."""

    def forget_ids(c: Any) -> None:
        # A script that promises to be repeatable, and is not: what re-sending it blindly amounts to.
        blind = coord.Script("kv_incr", _repeatable("return redis.call('INCR', number) .. ''"))
        blind.checks_calls = False
        sabotaged(blind)(c)

    with LossyProxy("127.0.0.1", one_server.port, every=25, mix={"reset_reply": 1}, seed=3) as line:
        history = threads_race(line.url, turns=100, sabotage=forget_ids)
    assert check_history(history) == "illegal"


def _repeatable(body: str) -> str:
    header = (
        "counts: broken",
        "",
        "KEYS   number  string: a number      coord:kv:{key}",
        "       op      string: none          coord:kv:{key}:none",
        "ARGV   word... str  any",
        "REPLY  1",
        "ERRORS none",
        "COST   O(1)",
        "REPEAT safe: it says",
    )
    return (
        "".join(f"-- {line}\n" for line in header)
        + "\nlocal number, op = KEYS[1], KEYS[2]\nfor i = 1, #ARGV, 1 do\n  op = ARGV[i]\nend\n"
        + body
    )


# --- small histories, by hand --------------------------------------------------------------------

VERSION = ("coord:version:{x}", "coord:version:{x}:op:")
LEAVE = ("coord:claim:{x}", "coord:claim:{x}:tombstone:a"), ("coord:claim:{x}", "coord:claim:{x}:tombstone:b")
ASK = (*LEAVE[0], "coord:claim:{x}:answered:a"), (*LEAVE[1], "coord:claim:{x}:answered:b")
TTL_MS = 5_000


def _bumped(began: float, ended: float, version: float) -> Operation:
    """A bump between two seconds, and the second of its version."""
    return Operation(BUMP, VERSION, (0, 0, 0), 1000 + began, 1000 + ended, _micros(version))


def _claimed(who: str, began: float, ended: float, fence: float, left: float = TTL_MS / 1000) -> Operation:
    granted = fence > 0
    reply = [int(granted), who if granted else "", _micros(fence) if granted else "0", int(left * 1000)]
    argv = _argv(CLAIM, owner=who, nonce=who, ttl_ms=TTL_MS)
    return Operation(CLAIM, ASK[who == "b"], argv, 1000 + began, 1000 + ended, reply)


def _released(who: str, began: float, ended: float, answer: int | None) -> Operation:
    return Operation(RELEASE, LEAVE[who == "b"], _argv(RELEASE, nonce=who), 1000 + began, 1000 + ended, answer)


def _argv(script: coord.Script, **told: str | int) -> tuple[str | int, ...]:
    """The arguments of a call by their names; times are a minute, and words say nothing."""
    assert script.header is not None
    usual: dict[str, str | int] = {"ms": 60_000, "0|1": "0", "PUBLISH|SPUBLISH": "PUBLISH"}
    return tuple(told.get(each.word, usual.get(each.type, "")) for each in script.header.argv)


def _micros(second: float) -> str:
    return str(1_000_000_000 + round(second * 1_000_000))


@pytest.mark.parametrize(
    ("operations", "verdict"),
    [
        pytest.param([_bumped(0, 1, 0.5), _bumped(2, 3, 2.5)], "ok", id="one after the other"),
        pytest.param([_bumped(0, 1, 0.5), _bumped(2, 3, 0.4)], "illegal", id="a version that goes back"),
        pytest.param([_bumped(0, 3, 2.5), _bumped(1, 2, 1.5)], "ok", id="at the same time, either order"),
        pytest.param([_bumped(0, 1, 0.5), _bumped(0, 1, 0.5)], "illegal", id="the same version twice"),
        pytest.param([_bumped(0, 1, 1.5)], "illegal", id="a version from a time to come"),
        pytest.param([_claimed("a", 0, 1, 0.5), _claimed("b", 2, 3, 2.5)], "illegal", id="two holders"),
        pytest.param([_claimed("a", 0, 1, 0.5), _claimed("b", 2, 3, 0, left=3.0)], "ok", id="taken"),
        pytest.param([_claimed("a", 0, 1, 0.5), _claimed("b", 2, 3, 0, left=4.9)], "illegal", id="taken for too long"),
        pytest.param([_claimed("a", 0, 1, 0.5), _claimed("b", 6, 7, 6.5)], "ok", id="its time was over"),
        pytest.param([_claimed("a", 0, 1, 0.5), _claimed("b", 6, 7, 0, left=0.1)], "illegal", id="alive after its end"),
        pytest.param([_claimed("b", 2, 3, 0, left=1)], "illegal", id="refused, and never held"),
        pytest.param(
            [_claimed("a", 0, 1, 0.5), _released("a", 2, math.inf, None), _claimed("b", 3, 4, 3.5)],
            "ok",
            id="a release without an answer may have happened",
        ),
        pytest.param(
            [_claimed("a", 0, 1, 0.5), _released("a", 2, math.inf, None), _claimed("b", 3, 4, 0, left=2.0)],
            "ok",
            id="and may not have happened yet",
        ),
        pytest.param(
            [_claimed("a", 0, 1, 0.5), _claimed("b", 2, 3, 2.5), _released("a", 4, math.inf, None)],
            "illegal",
            id="but not before it began",
        ),
        pytest.param(
            [_claimed("a", 0, 1, 0.5), _released("a", 2, 5, 0), _claimed("b", 3, 4, 3.5)],
            "illegal",
            id="released, and answered that it was not held",
        ),
    ],
)
def test_small_histories_are_judged(operations: list[Operation], verdict: str) -> None:
    assert check_history(History(operations)) == verdict


def test_the_check_says_when_it_gives_up() -> None:
    assert check_history(History([_bumped(0, 1, n / 10) for n in range(1, 9)]), steps=3) == "unknown"


def test_a_contradiction_is_the_smallest_part() -> None:
    before = [_bumped(second, second + 0.5, second + 0.2) for second in range(0, 40, 2)]
    wrong = _bumped(50, 51, 30.0)
    after = [_bumped(second, second + 0.5, second + 0.2) for second in range(60, 80, 2)]
    found = contradiction(History([*before, wrong, *after]))
    assert found == [wrong] or (len(found) == 2 and wrong in found)
    assert contradiction(History([*before, *after])) == []
