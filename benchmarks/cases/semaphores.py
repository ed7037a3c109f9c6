"""Semaphores and groups: beside py-redis-semaphore, and by the number of permits and members."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from functools import partial
from itertools import count
from time import perf_counter, sleep
from typing import Any

import redis

import coord
from benchmarks.bench import PREFIX, Bench, Case
from benchmarks.cases.handover import SETTLES
from benchmarks.cases.server import inside
from benchmarks.measure import Contender, Figure, Operation, in_one_thread
from benchmarks.peers import installed
from coord.group.scripts import beat, join
from coord.script import Call
from coord.semaphore import Permits

SIZES = (10, 100, 1_000, 10_000)
PEER = "py-redis-semaphore"

_names = count()


def claim_release(bench: Bench) -> Iterator[Figure]:
    """A permit of four taken and released, by one thread."""
    with ExitStack() as held:
        c = held.enter_context(coord.connect(bench.url, prefix=PREFIX))
        contenders = [Contender("coord", in_one_thread(partial(_by_coord, c.semaphore("bench", limit=4))))]
        if installed(PEER):
            contenders.append(Contender(PEER, in_one_thread(_by_peer(bench.url, held))))
        yield from bench.in_turn("semaphore", "claim, release", contenders)


def _by_coord(semaphore: Any, _: int) -> None:
    permit = semaphore.claim()
    assert permit is not None
    permit.release()


def _peer_semaphore(client: Any, name: str, limit: int) -> Any:
    from redis_semaphore import Semaphore, SemaphoreConfig  # noqa: PLC0415  # a peer that may be missing

    return Semaphore(client, SemaphoreConfig(name=name, limit=limit))


def _by_peer(url: str, held: ExitStack) -> Operation:
    client = held.enter_context(closing(redis.Redis.from_url(url)))

    def run(_: int) -> None:
        semaphore = _peer_semaphore(client, "bench", 4)
        semaphore.acquire()
        semaphore.release()

    return run


# --- hand-over -----------------------------------------------------------------------------------

Block = Callable[[str], AbstractContextManager[Any]]


def handed_over(bench: Bench) -> Iterator[Figure]:
    """From the release of a permit until the waiter of another connection has it."""
    rounds = 5 if bench.quick else 15
    with ExitStack() as held:
        blocks = dict(_blocks(bench.url, held))
        times: dict[str, list[float]] = {who: [] for who in blocks}
        for turn in range(rounds):
            for who, (holds, waits) in blocks.items():
                bench.tell(f"semaphore hand-over: {who}, round {turn + 1} of {rounds}")
                times[who].append(_one(f"hand-over-{next(_names)}", holds, waits))
        for who, values in times.items():
            yield Figure("semaphore-handover", who, "on a server", "us", tuple(values))


def _blocks(url: str, held: ExitStack) -> Iterator[tuple[str, tuple[Block, Block]]]:
    a, b = (held.enter_context(coord.connect(url, prefix=PREFIX)) for _ in range(2))
    yield "coord", (lambda name: a.semaphore(name, limit=1).hold(), lambda name: b.semaphore(name, limit=1).hold())
    if installed(PEER):
        clients = [held.enter_context(closing(redis.Redis.from_url(url))) for _ in range(2)]
        yield PEER, (partial(_peer_block, clients[0]), partial(_peer_block, clients[1]))


@contextmanager
def _peer_block(client: Any, name: str) -> Iterator[None]:
    semaphore = _peer_semaphore(client, name, 1)
    semaphore.acquire()
    try:
        yield
    finally:
        semaphore.release()


def _one(name: str, holds: Block, waits: Block) -> float:
    """Return the microseconds from a release until the waiter holds the permit."""
    begun = threading.Event()
    got: list[float] = []

    def wait() -> None:
        begun.set()
        with waits(name):
            got.append(perf_counter())

    waiter = threading.Thread(target=wait)
    with holds(name):
        waiter.start()
        begun.wait()
        sleep(SETTLES)
        released = perf_counter()
    waiter.join()
    return (got[0] - released) * 1e6


# --- by size -------------------------------------------------------------------------------------


def inside_by_size(bench: Bench) -> Iterator[Figure]:
    """Microseconds inside the server by the number of permits, and of members."""
    with coord.connect(bench.url, prefix=PREFIX) as c:
        for size in SIZES[: 2 if bench.quick else None]:
            bench.clear()
            grants = _made(c, [_permit(c, number, size) for number in range(size)])
            _made(c, [_member(c, number) for number in range(min(size, 1_000))])
            operations: dict[str, Callable[[int], Call[Any]]] = {
                "a refused claim": lambda i, size=size: _permit(c, i + 1_000_000_000, size),  # type: ignore[misc]  # a default, not an argument
                "a renewal": lambda i, grants=grants: Permits(c.calls, "sized", 1, 1).renew(  # type: ignore[misc]  # as above
                    grants[i % len(grants)].nonce, 3_600_000
                ),
                "a granted claim": lambda i: _permit(c, i + 2_000_000_000, 1_000_000_000),
                "a heartbeat": lambda _: beat(c.calls, _group(c), 3_600_000, [("0", "nonce-0")]),
            }
            for name, build in operations.items():
                bench.tell(f"semaphores by size: {name}, {size:,}")
                rounds = tuple(inside(bench, c, build, 500) for _ in range(bench.effort.rounds))
                yield Figure("semaphore-size", "coord", f"{name}, {size:,}", "us", rounds)


def _permit(c: coord.Coordinator, number: int, limit: int) -> Call[Any]:
    return Permits(c.calls, "sized", limit, 1).ask(f"owner-{number}", f"nonce{number}", 3_600_000)


def _group(c: coord.Coordinator) -> str:
    return c.calls.key("group", "sized")


def _member(c: coord.Coordinator, number: int) -> Call[Any]:
    return join(c.calls, _group(c), f"{number}", f"nonce-{number}", '{"port":80}', 3_600_000)


def _made(c: coord.Coordinator, calls: list[Call[Any]]) -> list[Any]:
    answers: list[Any] = []
    for start in range(0, len(calls), 1_000):
        answers += c.run_many(calls[start : start + 1_000])
    for answer in answers:
        if isinstance(answer, Exception):
            raise answer
    return answers


CASES = (
    Case("semaphore", "a permit claimed and released, beside a Python peer", claim_release),
    Case("semaphore-handover", "from the release of a permit until a waiter has it", handed_over),
    Case("semaphore-size", "microseconds inside the server by the number of permits and members", inside_by_size),
)
