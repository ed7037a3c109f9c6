"""Hand-over: the time from a release until the waiter holds the lock. coord is notified; others poll or block.

One round is one hand-over. The holder releases after the waiter has begun to wait.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from itertools import count
from time import perf_counter, sleep
from typing import Any

import redis

import coord
from benchmarks import floor
from benchmarks.bench import PREFIX, Bench, Case
from benchmarks.measure import Figure
from benchmarks.peers import installed
from coord import claims
from coord.script import Call

Lock = Callable[[str], AbstractContextManager[Any]]
"""From a name to a lock that waits until it is free."""

_names = count()
SETTLES = 0.03
"""Seconds after which a waiter has subscribed, or is between two looks."""


def handover(bench: Bench) -> Iterator[Figure]:
    """From release to the waiter's return, on a server and in memory."""
    rounds = 5 if bench.quick else 15
    with ExitStack() as held:
        for at, locks in (("on a server", _on_server(bench.url, held)), ("in memory", _in_memory(held))):
            times: dict[str, list[float]] = {who: [] for who in locks}
            for turn in range(rounds):
                for who, lock in locks.items():
                    bench.tell(f"handover {at}: {who}, round {turn + 1} of {rounds}")
                    times[who].append(_handed_over(lock))
            for who, values in times.items():
                yield Figure("handover", who, at, "us", tuple(values))


def _handed_over(lock: Lock) -> float:
    """Return the microseconds from the release until the waiter holds the lock."""
    name = f"handover-{next(_names)}"
    begun = threading.Event()
    got: list[float] = []

    def wait() -> None:
        begun.set()
        with lock(name):
            got.append(perf_counter())

    waiter = threading.Thread(target=wait)
    with lock(name):
        waiter.start()
        begun.wait()
        # Not in step with a peer that polls.
        sleep(SETTLES + 0.013 * (next(_names) % 8))
        released = perf_counter()
    waiter.join()
    return (got[0] - released) * 1e6


def _coord(c: coord.Coordinator) -> Lock:
    return lambda name: c.hold(name, ttl=30, wait=20)


def _bare(url: str, c: coord.Coordinator) -> Lock:
    """The floor: coord's own scripts and notification, sent and read by bare sockets."""
    address = floor.Address(url)
    tries = count()

    def send(bare: floor.BareSocket, call: Call[Any]) -> Any:
        return bare.ask("EVALSHA", call.script.sha, len(call.keys), *call.keys, *call.argv)

    @contextmanager
    def lock(name: str) -> Iterator[None]:
        nonce = f"bare-{next(tries)}"
        take = claims.Claimable(c.calls, name).ask(nonce, nonce, 30_000)
        with closing(floor.BareSocket(address)) as bare, closing(floor.BareSocket(address)) as notified:
            notified.ask("SUBSCRIBE", take.keys[0])
            while not send(bare, take)[0]:
                notified.receive()
            yield
            send(bare, claims.Claimable(c.calls, name).release(nonce))

    # Running each script once loads it.
    c.run(claims.Claimable(c.calls, "load").ask("", "load", 1))
    c.run(claims.Claimable(c.calls, "load").release("load"))
    return lock


def _on_server(url: str, held: ExitStack) -> dict[str, Lock]:
    client: Any = held.enter_context(redis.Redis.from_url(url))
    c = held.enter_context(coord.connect(url, prefix=PREFIX))
    locks: dict[str, Lock] = {
        "coord": _coord(c),
        floor.BLOCKING: _bare(url, c),
        "redis-py Lock": lambda name: client.lock(f"{PREFIX}{name}", timeout=30),
    }
    if installed("python-redis-lock"):
        import redis_lock  # noqa: PLC0415  # a peer that may be missing

        locks["python-redis-lock"] = lambda name: redis_lock.Lock(client, f"{PREFIX}{name}", expire=30)
    return locks


def _in_memory(held: ExitStack) -> dict[str, Lock]:
    c = held.enter_context(coord.connect("memory://bench-handover"))
    plain: dict[str, threading.Lock] = {}
    return {"coord": _coord(c), "threading.Lock": lambda name: plain.setdefault(name, threading.Lock())}


CASES = (Case("handover", "from a release to the waiter's return", handover),)
