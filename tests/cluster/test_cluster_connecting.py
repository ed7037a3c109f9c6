"""Connecting to a cluster, by URL and by a client that is handed in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from time import monotonic
from typing import Any

import pytest
import redis
import redis.asyncio
from backends import Backend
from clusters import SPREAD, ClusterPlace, Move
from tls_front import AUTHORITY, TlsFront

import coord
from coord.redis.topology import Address
from coord.testing.proxy import LossyProxy
from coord.testing.servers import Server, free_port

pytestmark = pytest.mark.slow


def test_any_node_tells_the_way(mode: Backend) -> None:
    """Of the nodes in the URL one has to be alive; a replica will do."""
    replica = mode.place.cluster.replicas[0].port
    c = mode.dial(f"redis+cluster://127.0.0.1:{free_port()},127.0.0.1:{replica}")
    assert [c.kv.incr(name) for name in SPREAD] == [1] * len(SPREAD)


def test_no_node_answers(mode: Backend) -> None:
    """Connecting to a missing cluster fails at once, and the error names the nodes that were tried."""
    ports = free_port(), free_port()
    started = monotonic()
    with pytest.raises(coord.Unavailable, match=f"127.0.0.1:{ports[0]}.*127.0.0.1:{ports[1]}.*cannot reach"):
        mode.dial(f"redis+cluster://:s3cret@127.0.0.1:{ports[0]},127.0.0.1:{ports[1]}")
    assert monotonic() - started < 5


def test_the_only_node_may_be_slow(mode: Backend) -> None:
    """One node among many has a second to tell the topology, the last that is asked has ``timeout``."""
    with LossyProxy("127.0.0.1", mode.place.cluster.servers[0].port, delay=1.2) as line:
        line.arm("delay_reply", command="CLUSTER")
        c = mode.dial(f"redis+cluster://127.0.0.1:{line.port}", timeout=20, remember=90)
        assert line.faults == {"delay_reply": 1}
        assert c.kv.incr(SPREAD[0]) == 1


def test_a_server_is_not_a_cluster(mode: Backend) -> None:
    """``redis+cluster://`` to a server that is alone says which URL is right."""
    with (
        Server(mode.place.cluster.engine) as alone,
        pytest.raises(coord.ConfigError, match="is not part of a cluster: connect with redis://"),
    ):
        mode.dial(f"redis+cluster://127.0.0.1:{alone.port}")


def test_a_node_is_not_a_standalone_server(mode: Backend) -> None:
    """``redis://`` to a node of a cluster works until a name is elsewhere; then it says at once which URL is right."""
    one, other, *_ = mode.place.primaries()
    c = mode.dial(one.url)
    here, there = mode.place.names_on(one, 1)[0], mode.place.names_on(other, 1)[0]
    assert c.kv.incr(here) == 1
    started = monotonic()
    with pytest.raises(coord.ConfigError, match=f"{one.port} is a node of a cluster: connect with redis\\+cluster://"):
        c.kv.incr(there)
    assert monotonic() - started < 5
    calls = c.calls if mode.loop is None else c.inner.calls
    second, moved = c.run_many([calls.kv.incr(here), calls.kv.incr(there)])
    assert second == 2
    assert isinstance(moved, coord.ConfigError)


@pytest.fixture
def password(place: ClusterPlace) -> Iterator[str]:
    """The password of all nodes."""
    nodes = [place.at(server) for server in place.cluster.servers]
    for node in nodes:
        node.config_set("masterauth", "s3cret")
        node.config_set("requirepass", "s3cret")
    yield "s3cret"
    for node in nodes:
        node.config_set("requirepass", "")


def with_password(url: str, password: str) -> str:
    """The URL of a cluster, with a password in it."""
    return url.replace("://", f"://:{password}@")


def test_a_cluster_with_a_password(mode: Backend, password: str) -> None:
    """The password of the URL opens every node, and the connection on which notices arrive."""
    c = mode.dial(with_password(mode.place.url, password))
    assert [c.kv.incr(name) for name in SPREAD] == [1] * len(SPREAD)
    with c.hold("job"), pytest.raises(coord.WaitTimeout), c.hold("job", wait=0.05):
        pass
    with c.hold("job"):
        pass
    assert password not in repr(c)


@pytest.mark.parametrize("wrong", ["", ":wrong@"])
def test_a_wrong_password_is_an_error(mode: Backend, password: str, wrong: str) -> None:
    """A cluster that lets nobody in is not said to be silent."""
    url = mode.place.url.replace("://", f"://{wrong}")
    with pytest.raises(coord.ConfigError, match="password") as raised:
        mode.dial(url)
    assert "wrong@" not in str(raised.value)


@pytest.mark.parametrize("decode", [False, True])
def test_clients_that_are_handed_in(mode: Backend, decode: bool) -> None:
    """A cluster's client of redis-py gives its settings; its own connections are left alone."""
    first = mode.place.cluster.servers[0].port
    if mode.loop is None:
        theirs = redis.RedisCluster(port=first, host="127.0.0.1", decode_responses=decode)
        c = mode.adopt(coord.connect(client=theirs))
        use(c)
        theirs.close()
        return

    async def made() -> tuple[Any, Any]:
        theirs = redis.asyncio.RedisCluster(port=first, host="127.0.0.1", decode_responses=decode)
        return theirs, await coord.connect_async(client=theirs)

    theirs, c = mode.loop.run_until_complete(made())
    use(mode.adopt(at_once(c)))
    mode.loop.run_until_complete(theirs.aclose())


async def at_once(made: Any) -> Any:
    return made


def test_addresses_are_turned_into_those_of_the_client(mode: Backend) -> None:
    """Nodes tell addresses of their own network; ``address_remap`` of a client says where they are reached from here.

    Here that is over TLS at other ports, so that no address is of any use which has not been turned, or was turned
    twice: whether a node tells it with the topology, or sends a call there for good (MOVED) or for once (ASK).
    """
    with ExitStack() as stack:
        fronts = {each.port: stack.enter_context(TlsFront(each.port)) for each in mode.place.cluster.servers}
        first, *_ = fronts.values()
        settings: dict[str, Any] = {
            "host": "127.0.0.1",
            "port": first.port,
            "ssl": True,
            "ssl_ca_certs": str(AUTHORITY),
        }

        def remap(address: Address) -> Address:
            return address[0], fronts[address[1]].port

        if mode.loop is None:
            with redis.RedisCluster(**settings, address_remap=remap) as theirs:
                c = mode.adopt(coord.connect(client=theirs))
        else:
            awaited = redis.asyncio.RedisCluster(**settings, address_remap=remap)
            c = mode.adopt(coord.connect_async(client=awaited))
            mode.loop.run_until_complete(awaited.aclose())
        use(c)
        move = Move(mode.place, SPREAD[0])
        move.carry()
        mode.place.at(move.target).script_flush()
        assert c.kv.get_int(SPREAD[0]) == 1
        assert mode.place.errors(move.source, "ASK") >= 1
        move.finish()
        assert [c.kv.incr(SPREAD[0]) for _ in range(3)] == [2, 3, 4]
        with c.hold(SPREAD[0], ttl=30), pytest.raises(coord.WaitTimeout), c.hold(SPREAD[0], wait=0.1):
            pass
        c.close()


def use(c: Any) -> None:
    """Use every node, and wait for something."""
    assert [c.kv.incr(name) for name in SPREAD] == [1] * len(SPREAD)
    with c.hold("job", ttl=30), pytest.raises(coord.WaitTimeout), c.hold("job", wait=0.1):
        pass


def test_the_wrong_kind_of_client(mode: Backend) -> None:
    """A blocking coordinator takes a blocking client, an awaited one an awaited one."""
    first = mode.place.cluster.servers[0].port
    if mode.loop is None:
        with pytest.raises(coord.ConfigError, match="the other kind"):
            coord.connect(client=redis.asyncio.RedisCluster(port=first, host="127.0.0.1"))
        return
    with (
        redis.RedisCluster(port=first, host="127.0.0.1") as theirs,
        pytest.raises(coord.ConfigError, match="other kind"),
    ):
        mode.adopt(coord.connect_async(client=theirs))
