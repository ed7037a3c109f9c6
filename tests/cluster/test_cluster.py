"""Clusters: every operation, scripts and waiting, with keys on many nodes."""

from __future__ import annotations

from threading import Event
from time import monotonic
from typing import Any

import pytest
from backends import Backend
from clusters import SPREAD, subscribed
from live import Thread
from load import BOUND, held, in_background
from operations import EXAMPLES, Example

from coord.redis.topology import slot
from coord.testing.servers import Server
from coord.testing.topologies import client, wait_until

pytestmark = pytest.mark.slow


# --- operations -----------------------------------------------------------------------------------


@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_every_operation_works(mode: Backend, c: Any, example: Example) -> None:
    """What works on one server works on a cluster, because all keys of an entity share a slot."""
    example.run(example.prepare(c))
    assert {slot(key) for key in mode.place.all_keys()} <= {slot("{x}")}


def test_names_are_spread_over_the_nodes(mode: Backend, c: Any) -> None:
    """Each name is where its slot is; together they are everywhere."""
    for name in SPREAD:
        assert c.kv.incr(name) == 1
    shares = [len(mode.place.at(server).keys("coord:kv:*}")) for server in mode.place.primaries()]
    assert len(shares) == 3
    assert min(shares) > 0
    assert sum(shares) == len(SPREAD)


def test_many_calls_take_one_write_a_node(mode: Backend, c: Any) -> None:
    """Calls of a batch go to their nodes together, and the answers are in the order of the calls."""
    assert [c.kv.incr(name) for name in SPREAD] == [1] * len(SPREAD)
    nodes = mode.place.primaries()
    before = [reads(mode, server) for server in nodes]
    calls = c.calls if mode.loop is None else c.inner.calls
    began = monotonic()
    answers = c.run_many([calls.kv.incr(name, number) for number, name in enumerate(SPREAD)])
    assert answers == [1 + number for number in range(len(SPREAD))]
    for server, read in zip(nodes, before, strict=True):
        # Some twenty calls each; a replica reports once a second, and who looks is read too.
        assert reads(mode, server) - read <= 5 + 2 * (monotonic() - began)


def reads(mode: Backend, server: Server) -> int:
    """How often a node has read from its connections."""
    return int(mode.place.at(server).info("stats")["total_reads_processed"])


def test_keys_are_deleted_wherever_they_are(mode: Backend, c: Any) -> None:
    """``kv.delete`` takes keys of any nodes, and tells how many were there."""
    for name in SPREAD:
        c.kv.incr(name)
    assert c.kv.delete(*SPREAD, "never there") == len(SPREAD)
    assert [c.kv.get_int(name, default=-1) for name in SPREAD] == [-1] * len(SPREAD)


# --- scripts --------------------------------------------------------------------------------------


def test_every_node_is_given_the_scripts_it_has_never_seen(mode: Backend, c: Any) -> None:
    """A batch that meets nodes without the script runs everywhere, once."""
    for server in mode.place.primaries():
        mode.place.at(server).script_flush()
    calls = c.calls if mode.loop is None else c.inner.calls
    assert c.run_many([calls.kv.incr(name) for name in SPREAD]) == [1] * len(SPREAD)


def test_one_node_forgets_its_scripts_amid_batches(mode: Backend, c: Any) -> None:
    """Only what did not run is sent again: the calls of the other nodes, and those before, count once."""
    forgetful = mode.place.node("x")
    calls = c.calls if mode.loop is None else c.inner.calls
    done = Event()

    def forget() -> None:
        with client(forgetful) as node:
            while not done.wait(0.02):
                node.script_flush()

    forgetting = Thread(forget)
    answers: list[int] = []
    before = mode.place.errors(forgetful, "NOSCRIPT")
    for _ in range(10):
        answers += c.run_many([calls.kv.incr(name) for name in SPREAD * 10])
    wait_until(lambda: c.kv.incr("x") > 0 and mode.place.errors(forgetful, "NOSCRIPT") > before, "it has forgotten")
    done.set()
    forgetting.result()
    for place in range(len(SPREAD)):
        assert answers[place :: len(SPREAD)] == [*range(1, 101)]


# --- waiting --------------------------------------------------------------------------------------


def test_a_hold_is_handed_over(mode: Backend, c: Any) -> None:
    """Who waits is woken by a notice: of its shard alone on 7.0 and newer, of the whole cluster before."""
    lease = c.claim("job", ttl=30)
    waiting = in_background(mode.place, mode.line.awaited, held)
    node = mode.place.node("job")
    wait_until(lambda: subscribed(mode.place, node) == ["coord:claim:{job}"], "the waiter listens")
    assert all(not subscribed(mode.place, server) for server in mode.place.cluster.primaries if server is not node)
    lease.release()
    assert waiting.result() > lease.fence


def test_a_barrier_wakes_its_waiters(mode: Backend, c: Any) -> None:
    """The last arrival wakes the waiter, wherever the barrier is."""
    barrier = c.barrier("batch")
    barrier.open(parties=2)
    barrier.arrive("a")
    waiting = in_background(mode.place, mode.line.awaited, lambda own: own.barrier("batch").wait(timeout=BOUND))
    wait_until(lambda: bool(subscribed(mode.place, mode.place.node("batch"))), "the waiter listens")
    barrier.arrive("b")
    assert waiting.result().state == "complete"


def test_a_request_wakes_its_waiters(mode: Backend, c: Any) -> None:
    """The last work done wakes the waiter, wherever the request is."""
    request = c.request("r-1")
    request.register()
    request.add("embed", "doc")
    waiting = in_background(mode.place, mode.line.awaited, lambda own: own.request("r-1").wait(timeout=BOUND))
    wait_until(lambda: bool(subscribed(mode.place, mode.place.node("r-1"))), "the waiter listens")
    request.done("embed", "doc")
    assert waiting.result()["embed"].processed == 1
