"""Histories in which keys expire in the middle: every family at once, and scripts of a user, on memory and each engine.

Threads, tasks and processes make operations with lifetimes of a few milliseconds, through faults; whatever they were
answered must be explained by one order of events at the moments of the server's clock. Then one answer of each history
is changed, and the check has to find it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from machines import ENGINES, client_of, dialled, dialled_async, start
from reporting import say

import coord
from coord.memory import Keyspace
from coord.script import all_scripts
from coord.testing.linearizable import ERROR, History, Operation, check_history, contradiction, record
from coord.testing.proxy import LossyProxy
from coord.testing.servers import Server

pytestmark = pytest.mark.proof

TURNS = 100
LIVELY: dict[str, Any] = {"timeout": 0.3, "patience": 20.0, "remember": 60.0}


def _ticket(space: Keyspace, key: str, ttl_ms: int) -> list[Any]:
    seconds, micros = space.time()
    before = space.get(key)
    moment = seconds * 1_000_000 + micros
    space.set(key, str(moment), px=ttl_ms)
    return [str(moment), before or ""]


TICKET = coord.Script(
    "ticket",
    """local now = redis.call("TIME")
local before = redis.call("GET", KEYS[1])
local moment = string.format("%.0f", now[1] * 1000000 + now[2])
redis.call("SET", KEYS[1], moment, "PX", ARGV[1])
return {moment, before or ""}""",
    _ticket,
)
"""A user's script that reads TIME, keeps it, and answers what another left, while that lives."""


def turn(c: Any, chance: random.Random) -> list[Callable[[], Any]]:
    """Draw what to do next: calls to make one after the other, on a coordinator of either mode."""
    x = chance.choice("ab")
    barrier, request, stats, kv = c.barrier(x), c.request(x), c.stats("work"), c.kv
    member, root = str(chance.randrange(3)), str(chance.randrange(3))
    choices: list[list[Callable[[], Any]]] = [
        [lambda: c.claim(x, ttl=0.03)],
        [lambda: c.claim(x, ttl=0.03)],
        [lambda: c.holder(x), lambda: c.bump(x), lambda: c.version(x)],
        [lambda: c.once(x, ttl=0.02)],
        [lambda: c.forget(x)],
        [lambda: stats.merge(x, {"a": 1, member: 2}), lambda: stats.peek(x)],
        [lambda: stats.consume(x)],
        [
            lambda: kv.sadd(f"set {x}", member, ttl=0.02),
            lambda: kv.scard(f"set {x}"),
            lambda: kv.incr(f"{chance.choice(('set', 'n'))} {x}", ttl=0.02),
        ],
        [lambda: kv.rpush(f"list {x}", member, ttl=0.05), lambda: kv.lrange(f"list {x}")],
        [
            lambda: barrier.open(parties=2, ttl=0.1, deadline=0.03),
            lambda: barrier.arrive(member),
            barrier.status,
        ],
        [
            lambda: request.register(ttl=0.1),
            lambda: request.add("stage", root),
            lambda: request.done("stage", root),
            request.status,
        ],
        [lambda: c.run(coord.Call(TICKET, (c.key("ticket", x),), (25,), list))],
    ]
    return chance.choice(choices)


EXPECTED = (coord.WrongType, coord.OutcomeUnknown, coord.MissingBarrier)
"""WrongType: ``incr`` of a set."""


def race(c: coord.Coordinator, seed: int) -> None:
    """Make the calls of some turns, and release or renew what was claimed."""
    chance = random.Random(seed)
    for _ in range(TURNS):
        for call in turn(c, chance):
            with contextlib.suppress(*EXPECTED):
                got = call()
                if isinstance(got, coord.Lease) and chance.random() < 0.6:
                    (got.renew if chance.random() < 0.5 else got.release)()


async def race_async(c: coord.AsyncCoordinator, seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(TURNS // 3):
        for call in turn(c, chance):
            with contextlib.suppress(*EXPECTED):
                got = await call()
                if isinstance(got, coord.AsyncLease) and chance.random() < 0.6:
                    await (got.renew if chance.random() < 0.5 else got.release)()


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, Server]]:
    with contextlib.ExitStack() as stack:
        yield {name: stack.enter_context(start(name)) for name in ENGINES}


@pytest.fixture(params=["memory", *ENGINES])
def url(request: pytest.FixtureRequest, servers: dict[str, Server]) -> Iterator[str]:
    """Memory, or each engine behind a line that loses and delays."""
    if request.param == "memory":
        yield f"memory://{request.node.name}"
        return
    server = servers[request.param]
    with client_of(server) as client, LossyProxy("127.0.0.1", server.port, every=60, seed=5) as line:
        client.flushall()
        yield line.url


def judge(history: History, of: str) -> None:
    assert check_history(history) == "ok", list(map(str, contradiction(history)))
    assert len({operation.script.name for operation in history.operations}) >= 18
    unknown = sum(not operation.is_known for operation in history.operations)
    repeated = sum(operation.repeated is True for operation in history.operations)
    refused = sum(operation.reply == ERROR for operation in history.operations)
    say(f"histories: {len(history):,} operations of {of}: {unknown} unknown, {repeated} repeated, {refused} refused")


def test_threads(url: str) -> None:
    with dialled(coord.connect, url, **LIVELY) as c:
        history = record(c)
        with ThreadPoolExecutor(6) as pool:
            list(pool.map(lambda seed: race(c, seed), range(6)))
    judge(history, f"threads on {url.partition(':')[0]}")


def test_tasks(url: str) -> None:
    async def run() -> History:
        async with await dialled_async(url, **LIVELY) as c:
            history = record(c)
            await asyncio.gather(*(race_async(c, seed) for seed in range(8)))
        return history

    judge(asyncio.run(run()), f"tasks on {url.partition(':')[0]}")


def test_processes(url: str) -> None:
    if url.startswith("memory"):
        with pytest.raises(AssertionError, match="coord:"):
            # Two processes that believe to share memory: the check sees that they do not.
            judge(gathered(url, 2), "processes")
        return
    judge(gathered(url, 3), "processes")


def gathered(url: str, count: int) -> History:
    """Race in several processes, and put their histories together."""
    running = [
        subprocess.Popen(
            [sys.executable, __file__, url, str(seed)],
            cwd=Path(__file__).parent,
            env={"PYTHONPATH": ":".join(sys.path)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for seed in range(count)
    ]
    scripts = {script.name: script for script in (*all_scripts(), TICKET)}
    history = History()
    for each in running:
        out, _ = each.communicate()
        assert each.returncode == 0
        for line in out.splitlines():
            name, keys, argv, *rest = json.loads(line)
            history.add(Operation(scripts[name], tuple(keys), tuple(argv), *rest))
    return history


def printed(operation: Operation) -> str:
    each = operation
    told = each.began, each.ended, each.reply, each.moment, each.repeated
    return json.dumps([each.script.name, each.keys, each.argv, *told])


@pytest.mark.parametrize("seed", range(3))
def test_a_changed_answer_is_found(seed: int) -> None:
    with coord.connect(f"memory://changed-{seed}") as c:
        history = record(c)
        race(c, seed)
    assert check_history(history) == "ok"
    chance = random.Random(seed)
    missed: list[str] = []
    for number in chance.sample(range(len(history)), 25):
        changed = replace(history.operations[number], reply=_other(history.operations[number].reply))
        if changed.reply == history.operations[number].reply:
            continue
        wrong = History([*history.operations[:number], changed, *history.operations[number + 1 :]])
        if check_history(wrong) != "illegal":
            missed.append(str(changed))
            continue
        part = contradiction(wrong)
        assert changed in part
        assert len(part) <= 4, list(map(str, part))
    assert not missed, missed


def _other(reply: Any) -> Any:
    """A wrong answer: a number that is far off, another word."""
    match reply:
        case int():
            return reply + 1_000
        case str():
            return f"{reply}1"
        case [first, *rest]:
            return [_other(first), *rest]
        case None:
            return "1"
        case _:
            return reply


if __name__ == "__main__":
    with dialled(coord.connect, sys.argv[1], **LIVELY) as _c:
        _history = record(_c)
        race(_c, int(sys.argv[2]))
    print(*map(printed, _history.operations), sep="\n")  # noqa: T201  # read by ``gathered``
