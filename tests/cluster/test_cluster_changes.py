"""Clusters that change: slots move, nodes fail, and nothing of it is seen by the caller."""

from __future__ import annotations

import asyncio
import signal
import sys
from contextlib import suppress
from time import monotonic
from typing import Any

import pytest
import redis
import redis.asyncio
from backends import Backend
from clusters import ClusterPlace, Move, subscribed
from forked import forks, in_child
from load import BOUND, REMEMBER, acked, both_loads, counted, held, in_background, is_replicated

import coord
from coord.clock import SYSTEM
from coord.coordinator import runner_of
from coord.redis.awaited import Driver
from coord.redis.steps import Alone, Steps
from coord.redis.topology import SlotMap
from coord.testing.leaks import nothing_left_behind
from coord.testing.topologies import wait_until

pytestmark = pytest.mark.slow


# --- slots that move ------------------------------------------------------------------------------


def test_a_slot_that_has_moved_is_found(mode: Backend, c: Any) -> None:
    """The first call is sent on (MOVED); what was learnt is kept, so that the others go straight there."""
    assert c.kv.incr("x") == 1
    move = Move(mode.place, "x")
    move.finish()
    before = mode.place.errors(move.source, "MOVED")
    assert [c.kv.incr("x") for _ in range(10)] == [*range(2, 12)]
    assert mode.place.errors(move.source, "MOVED") == before + 1


def test_a_key_on_its_way_is_asked_for_where_it_is(mode: Backend, c: Any) -> None:
    """A call is sent on for once (ASK), to a node that has never seen its script."""
    assert c.kv.incr("x", 5) == 5
    move = Move(mode.place, "x")
    move.carry()
    mode.place.at(move.target).script_flush()
    assert [c.kv.get_int("x") for _ in range(3)] == [5, 5, 5]
    assert mode.place.errors(move.source, "ASK") >= 3
    move.finish()
    assert c.kv.incr("x") == 6


def test_a_call_of_two_keys_waits_until_they_are_together(mode: Backend, c: Any) -> None:
    """A count and what is remembered of it are two keys: while they are apart (TRYAGAIN) the call is made again."""
    assert c.kv.incr("x") == 1
    move = Move(mode.place, "x")
    move.carry()
    before = mode.place.errors(move.target, "TRYAGAIN")
    counting = in_background(mode.place, mode.line.awaited, lambda own: own.kv.incr("x"))
    wait_until(lambda: mode.place.errors(move.target, "TRYAGAIN") > before + 1, "the call is refused more than once")
    move.finish()
    assert counting.result() == 2


def test_counts_are_exact_while_their_slot_moves(place: ClusterPlace) -> None:
    """Under load, blocking and awaited, a slot moves with all its keys: nothing is lost, doubled, or told as failed."""
    with nothing_left_behind(), both_loads(place, ["x", "y", "z"]) as loads:
        Move(place, "x").finish()
        for load in loads:
            load.goes_on()
    for load in loads:
        assert not load.unknown
        assert not load.refused
    with coord.connect(place.url) as c:
        assert counted(c, "x", "y", "z") == acked(loads)


@forks
def test_a_child_finds_a_moved_slot_although_its_parent_was_asking_for_it(place: ClusterPlace) -> None:
    """Who refreshes what is known of the nodes holds a lock; a fork at that moment does not shut it for the child."""
    with coord.connect(place.url) as c:
        assert c.kv.incr("x") == 1
        Move(place, "x").finish()
        with runner_of(c).driver.alone.lock:
            assert in_child(lambda: c.kv.incr("x")) == "2"
        assert c.kv.incr("x") == 3


def test_nodes_that_do_not_tell_their_names(mode: Backend) -> None:
    """Behind a proxy, nodes leave out their addresses: then they are where the one that answered is."""
    nodes = [mode.place.at(server) for server in mode.place.cluster.servers]
    with suppress(redis.ResponseError):
        for node in nodes:
            node.config_set("cluster-preferred-endpoint-type", "unknown-endpoint")
    # Redis 6.2 has no such setting and always tells its address.
    try:
        c = mode.connect()
        assert c.kv.incr("x") == 1
        Move(mode.place, "x").finish()
        assert c.kv.incr("x") == 2
    finally:
        with suppress(redis.ResponseError):
            for node in nodes:
                node.config_set("cluster-preferred-endpoint-type", "ip")


def test_an_address_without_a_host_is_another_port_of_the_same() -> None:
    """``MOVED 3999 :7002`` of the node at 10.0.0.1 means 10.0.0.1:7002."""
    slots = SlotMap()
    slots.read([[0, 16383, ["10.0.0.1", 7001]]], ("10.0.0.1", 7001))
    assert slots.redirect("{x}", ("", 7002), once=True) == ("10.0.0.1", 7002)
    assert slots.owner("{x}") == ("10.0.0.1", 7001)
    slots.redirect("{x}", ("", 7002), once=False)
    assert slots.owner("{x}") == ("10.0.0.1", 7002)


FACTORIES: dict[str, Any] = {"lazy": None}
if sys.version_info >= (3, 12):
    FACTORIES["eager"] = asyncio.eager_task_factory


@pytest.mark.parametrize("tasks", FACTORIES)
def test_the_topology_is_asked_for_again_after_a_refresh_that_ended_at_once(tasks: str) -> None:
    """An eager task may be over before its name is bound: it must not count as running for ever."""
    asked = 0

    def refresh() -> Steps[None]:
        nonlocal asked
        asked += 1
        yield from ()

    def steps() -> Steps[None]:
        yield Alone(refresh, 1.0)

    async def main() -> None:
        asyncio.get_running_loop().set_task_factory(FACTORIES[tasks])
        driver = Driver(SYSTEM)
        for number in range(1, 4):
            await driver.run(steps())
            assert asked == number
            # As long as a call takes at least.
            await asyncio.sleep(0)

    asyncio.run(main())


# --- nodes that fail ------------------------------------------------------------------------------


def test_a_primary_is_killed_under_load(place: ClusterPlace) -> None:
    """Its replica takes over, and all go on by themselves; no count is doubled, and none is lost that was replicated.

    Replication is asynchronous: a count that was acknowledged in the last moment may die with its primary.
    """
    victim = place.node("job")
    mine = place.names_on(victim, 2)
    names = [*mine, "y", "z"]
    with (
        place.failing_over_soon(),
        nothing_left_behind(),
        both_loads(place, names, patience=BOUND, remember=REMEMBER) as loads,
    ):
        with coord.connect(place.url) as before:
            fence = before.claim("job", owner="anna").fence
        waiting = [in_background(place, awaited, held) for awaited in (False, True)]
        wait_until(lambda: bool(subscribed(place, victim)), "the waiters listen")
        replicated = acked(loads)
        assert is_replicated(place.at(victim), "job")
        place.kill(victim)
        with coord.connect(place.url, patience=BOUND, remember=REMEMBER) as after:
            # A cluster can be connected to while one of its nodes is down.
            lease = after.claim("job", owner="anna")
            assert lease.fence == fence
            lease.release()
        assert min(waiter.result() for waiter in waiting) > fence
        for load in loads:
            load.goes_on()
    for load in loads:
        assert not load.refused
        assert load.gap < BOUND
    with coord.connect(place.url) as c:
        found = counted(c, *names)
    for name in names:
        assert found[name] <= acked(loads)[name] + loads[0].unknown[name] + loads[1].unknown[name]
    for name in mine:
        assert found[name] >= replicated[name]


def test_a_waiter_is_served_after_a_failover(mode: Backend, c: Any) -> None:
    """A replica takes over from a primary that is still alive: waiters get their turn, and fences grow."""
    lease = c.claim("job", ttl=30)
    primary = mode.place.node("job")
    waiting = in_background(mode.place, mode.line.awaited, held)
    wait_until(lambda: bool(subscribed(mode.place, primary)), "the waiter listens")
    mode.place.take_over("job")
    assert lease.release()
    assert waiting.result() > lease.fence


def test_a_wait_is_bounded_when_no_node_answers(mode: Backend) -> None:
    """The primary is gone, and the nodes that could tell who is in its place are frozen: the wait ends all the same."""
    c = mode.connect(timeout=40.0, patience=60.0, remember=200.0)
    assert c.holder("job") is None
    victim = mode.place.node("job")
    others = [server for server in mode.place.cluster.servers if server is not victim]
    for server in others:
        server.signal(signal.SIGSTOP)
    try:
        mode.place.kill(victim)
        started = monotonic()
        with pytest.raises(coord.WaitTimeout, match=r"'job' could not be read within 0\.4 s"):
            c.hold("job", wait=0.4).__enter__()
        assert monotonic() - started < BOUND
    finally:
        for server in others:
            server.signal(signal.SIGCONT)
    with c.hold("job", wait=2 * BOUND):
        pass
