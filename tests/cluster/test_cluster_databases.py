"""Databases of a cluster other than 0: Valkey 9 has as many as ``cluster-databases`` says, other servers have none.

Whatever opens a connection must select the database: calls, refreshes of the topology, subscriptions, ``coord ls``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from backends import Backend, Line, found
from clusters import SPREAD, ClusterPlace, Move, subscribed
from live import servers
from load import BOUND, held, in_background

import coord
from coord.cli import main
from coord.testing.clock import Clock
from coord.testing.leaks import nothing_left_behind
from coord.testing.topologies import Cluster, client, wait_until

pytestmark = pytest.mark.slow
DATABASE = 3
ENGINES = [name for name in servers() if name.startswith("valkey-9")]


@pytest.fixture(scope="module", params=ENGINES)
def large(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A cluster with sixteen databases."""
    with Cluster(found()[request.param], node_timeout=5000, args=("--cluster-databases", "16")) as cluster:
        yield cluster


@pytest.fixture
def third(large: Cluster) -> Iterator[ClusterPlace]:
    """Database 3 of the cluster."""
    place = ClusterPlace(large, DATABASE)
    place.flush()
    yield place
    place.heal()


@pytest.fixture(params=[False, True], ids=["blocking", "awaited"])
def in_third(request: pytest.FixtureRequest, third: ClusterPlace) -> Iterator[Backend]:
    """Database 3 of the cluster, blocking and awaited."""
    with nothing_left_behind():
        backend = Backend(Line(third.cluster.engine.name, request.param), third, Clock())
        yield backend
        backend.close()


def test_a_database_that_the_cluster_lacks_is_refused(mode: Backend) -> None:
    """The error is true of this server: only Valkey 9 can have several, and then the setting is named."""
    newer = mode.place.cluster.engine.name.startswith("valkey-9")
    why = r"out of range.*`cluster-databases`" if newer else "has only database 0: leave the number out of the URL"
    with pytest.raises(coord.ConfigError, match=why):
        mode.dial(f"{mode.place.url}/1")


def test_databases_of_a_cluster_are_apart(in_third: Backend) -> None:
    """The database of the URL is used on every node; one that is out of range is refused."""
    c, other = in_third.connect(), in_third.dial(in_third.place.cluster.url)
    assert [c.kv.incr(name) for name in SPREAD] == [1] * len(SPREAD)
    assert all(set(client(each).info("keyspace")) == {f"db{DATABASE}"} for each in in_third.place.primaries())
    assert [other.kv.get_int(name, default=-1) for name in SPREAD] == [-1] * len(SPREAD)
    calls = c.calls if in_third.loop is None else c.inner.calls
    assert c.run_many([calls.kv.incr(name) for name in SPREAD]) == [2] * len(SPREAD)
    assert c.kv.delete(*SPREAD) == len(SPREAD)
    with pytest.raises(coord.ConfigError, match=r"out of range.*`cluster-databases`"):
        in_third.dial(f"{in_third.place.cluster.url}/16")


def test_waiters_in_a_database_are_woken(in_third: Backend) -> None:
    """Subscriptions are made on the node of the name, and what a waiter then asks is asked in its database."""
    c, place = in_third.connect(), in_third.place
    lease = c.claim("job", ttl=30)
    waiting = in_background(place, in_third.line.awaited, held)
    wait_until(lambda: bool(subscribed(place, place.node("job"))), "the waiter listens")
    assert lease.release()
    assert waiting.result() > lease.fence
    request = c.request("r-1")
    request.register()
    request.add("embed", "doc")
    waiting = in_background(place, in_third.line.awaited, lambda own: own.request("r-1").wait(timeout=BOUND))
    wait_until(lambda: bool(subscribed(place, place.node("r-1"))), "the waiter listens")
    request.done("embed", "doc")
    assert waiting.result()["embed"].processed == 1


def test_a_notice_of_another_database_changes_nothing(in_third: Backend) -> None:
    """Channels are shared by all databases: a waiter that another one wakes looks, and waits on."""
    c, place, other = in_third.connect(), in_third.place, in_third.dial(in_third.place.cluster.url)
    lease = c.claim("job", ttl=30)
    waiting = in_background(place, in_third.line.awaited, held)
    wait_until(lambda: bool(subscribed(place, place.node("job"))), "the waiter listens")
    for _ in range(3):
        with other.hold("job", ttl=30):
            pass
    assert c.holder("job") is not None
    assert waiting.is_alive()
    assert lease.release()
    assert waiting.result() > lease.fence


def test_a_database_is_kept_when_connections_and_scripts_are_lost(in_third: Backend) -> None:
    """New connections select the database before anything else, also on nodes that have forgotten the scripts."""
    c, place = in_third.connect(), in_third.place
    lease = c.claim("job", ttl=30)
    waiting = in_background(place, in_third.line.awaited, held)
    wait_until(lambda: bool(subscribed(place, place.node("job"))), "the waiter listens")
    for number in range(2, 5):
        assert [c.kv.incr(name) for name in SPREAD] == [number - 1] * len(SPREAD)
        for server in place.primaries():
            place.at(server).script_flush()
            for kind in ("normal", "pubsub"):
                place.at(server).client_kill_filter(_type=kind, skipme=True)
    assert lease.release()
    assert waiting.result() > lease.fence


def test_a_database_is_kept_when_slots_move_and_primaries_change(in_third: Backend) -> None:
    """Calls that are sent on (ASK, MOVED) and nodes that take over are asked in the same database."""
    c, place = in_third.connect(), in_third.place
    assert c.kv.incr("x", 5) == 5
    move = Move(place, "x")
    assert move.carry() >= 1
    assert c.kv.get_int("x") == 5
    assert place.errors(move.source, "ASK") >= 1
    move.finish()
    assert c.kv.incr("x") == 6
    primary = place.node("job")
    lease = c.claim("job", ttl=30)
    waiting = in_background(place, in_third.line.awaited, held)
    wait_until(lambda: bool(subscribed(place, primary)), "the waiter listens")
    place.take_over("job")
    assert lease.release()
    assert waiting.result() > lease.fence


def test_the_tools_look_at_the_database_of_the_url(third: ClusterPlace, capsys: Any) -> None:
    """``coord ls`` and ``coord show`` scan that database, and ``coord doctor`` checks it."""
    with coord.connect(third.url) as c:
        for name in SPREAD:
            c.kv.incr(name)
        with c.hold("job", owner="anna"):
            listed = told(capsys, "ls", third.url, "--json", "--limit", "1000")
            assert "anna" in told(capsys, "show", "--url", third.url, "job")
        assert main(["doctor", third.url]) in (0, 1)
        keys = sum(map(int, re.findall(r"all (\d+) keys under 'coord:' have a TTL", capsys.readouterr().out)))
        assert keys == len(third.all_keys())
    names = {each["name"] for each in json.loads(listed)}
    assert names >= {"job", *SPREAD}
    assert "job" not in told(capsys, "ls", third.cluster.url, "--json")


def told(capsys: Any, *argv: str) -> str:
    assert main([*argv]) == 0
    text: str = capsys.readouterr().out
    return text
