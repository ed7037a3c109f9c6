"""Encrypted connections, and unix sockets."""

from __future__ import annotations

import asyncio
import gc
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import redis
import redis.asyncio
from backends import Backend, Line, found
from live import comes_to_be, servers
from load import held, in_background
from tls_front import AUTHORITY, STRANGER, TlsFront

import coord
from coord.options import Options
from coord.redis.dialing import from_url
from coord.redis.opening import open_by_redis_py
from coord.testing.clock import Clock
from coord.testing.leaks import assert_no_leaks, nothing_left_behind, open_sockets
from coord.testing.servers import Engine, Server
from coord.testing.topologies import SentinelServer, client, port_with_bus, wait_until

pytestmark = pytest.mark.slow


class TlsPlace:
    """A server, by way of TLS, by its socket, and by the port that it listens on without."""

    front: TlsFront

    def __init__(self, server: Server) -> None:
        self.server = server
        self.socket = server.folder / "server.sock"
        self.client: Any = client(server)

    @property
    def url(self) -> str:
        """The URL to connect to, with the certificate that the server's is checked against."""
        return self.by("rediss")

    def by(self, scheme: str, authority: Path = AUTHORITY) -> str:
        """The URL with another scheme, or another authority."""
        return f"{scheme}://127.0.0.1:{self.front.port}/0?ssl_ca_certs={authority}"

    def connect(self, awaited: bool, **settings: Any) -> Any:
        return (coord.connect_async if awaited else coord.connect)(self.url, **settings)


@pytest.fixture(scope="module", params=servers())
def place(request: pytest.FixtureRequest) -> Iterator[TlsPlace]:
    """A server of each engine."""
    with Server(found()[request.param], "--unixsocket", "server.sock") as server:
        yield TlsPlace(server)


@pytest.fixture(params=[False, True], ids=["blocking", "awaited"])
def mode(request: pytest.FixtureRequest, place: TlsPlace) -> Iterator[Backend]:
    """The server without keys, in one of the two modes; whatever a test opens there has to be gone after it."""
    place.client.flushall()
    with nothing_left_behind(), TlsFront(place.server.port) as place.front:
        mode = Backend(Line(str(place), request.param), place, Clock())
        yield mode
        mode.close()
    assert_no_leaks(place.client)


def use(c: Any) -> None:
    """Count, send much, and wait for something."""
    assert c.kv.incr("x") == 1
    # More than TLS puts into one record, there and back.
    long = "x" * 100_000
    assert c.kv.rpush("list", long) == 1
    assert c.kv.lrange("list") == [long]
    calls = c.calls if isinstance(c, coord.Coordinator) else c.inner.calls
    assert c.run_many([calls.kv.incr("y") for _ in range(3000)]) == [*range(1, 3001)]


# --- TLS -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["rediss", "valkeys"])
def test_everything_goes_through_tls(mode: Backend, scheme: str) -> None:
    """``rediss://`` and ``valkeys://`` are the same: small and large calls, and many in one write."""
    use(mode.dial(mode.place.by(scheme)))
    assert mode.place.front.accepted >= 1


def test_notices_come_through_tls(mode: Backend) -> None:
    """Who waits listens over TLS too."""
    c = mode.connect()
    lease = c.claim("job", ttl=30)
    waiting = in_background(mode.place, mode.line.awaited, held)
    wait_until(lambda: mode.place.client.pubsub_channels() == ["coord:claim:{job}"], "the waiter listens")
    # The calls of two coordinators, and one subscription.
    assert mode.place.front.accepted == 3
    lease.release()
    assert waiting.result() > lease.fence


def test_a_certificate_of_nobody_we_know(mode: Backend) -> None:
    """A server that cannot prove who it is is not talked to; the error says why, and shows no password."""
    url = mode.place.by("rediss", STRANGER).replace("://", "://:s3cret@")
    with pytest.raises(coord.Unavailable, match=r"certificate verify failed|CERTIFICATE_VERIFY_FAILED") as raised:
        mode.dial(url)
    assert "s3cret" not in str(raised.value)


def test_a_certificate_file_that_is_missing(mode: Backend) -> None:
    """Wrong settings are an error when connecting."""
    with pytest.raises(coord.CoordError, match=r"cannot reach the server at 127.0.0.1|No such file"):
        mode.dial(mode.place.by("rediss", Path("nowhere.pem")))


def test_tls_to_a_server_without(mode: Backend) -> None:
    """``rediss://`` to a plain port, where the server waits for the rest of a command, ends with the time-out."""
    with pytest.raises(coord.Unavailable, match=f"cannot reach the server at 127.0.0.1:{mode.place.server.port}"):
        mode.dial(f"rediss://127.0.0.1:{mode.place.server.port}/0?ssl_ca_certs={AUTHORITY}", timeout=0.2)


def test_no_tls_to_a_server_with_it(mode: Backend) -> None:
    """``redis://`` to a TLS port fails at once."""
    with pytest.raises(coord.Unavailable, match=f"cannot reach the server at 127.0.0.1:{mode.place.front.port}"):
        mode.dial(f"redis://127.0.0.1:{mode.place.front.port}/0", timeout=3)


def test_clients_that_are_handed_in(mode: Backend) -> None:
    """A client with TLS gives its certificates, also to the connection on which notices arrive."""
    settings = {"host": "127.0.0.1", "port": mode.place.front.port, "ssl": True, "ssl_ca_certs": str(AUTHORITY)}
    if mode.loop is None:
        with redis.Redis(**settings) as theirs:
            use_and_wait_in_vain(mode.adopt(coord.connect(client=theirs)))
        return
    awaited = redis.asyncio.Redis(**settings)
    use_and_wait_in_vain(mode.adopt(coord.connect_async(client=awaited)))
    mode.loop.run_until_complete(awaited.aclose())


def use_and_wait_in_vain(c: Any) -> None:
    """Use it, and wait for what does not come."""
    use(c)
    with c.hold("job", ttl=30), pytest.raises(coord.WaitTimeout), c.hold("job", wait=0.1):
        pass


@pytest.fixture
def uncollected() -> Iterator[None]:
    """Without the garbage collector, which would close what is left open."""
    gc.disable()
    yield
    gc.enable()


def test_a_server_that_is_silent_after_the_handshake_leaves_no_socket(mode: Backend, uncollected: None) -> None:
    """The end of TLS is an answer of the server too: it is not waited for."""
    with socket.create_server(("127.0.0.1", 0)) as silent, TlsFront(silent.getsockname()[1]) as front:
        before = open_sockets()
        with pytest.raises(coord.Unavailable, match="cannot reach"):
            mode.dial(f"rediss://127.0.0.1:{front.port}/0?ssl_ca_certs={AUTHORITY}", timeout=0.3, patience=0.3)
        assert front.accepted >= 1
        assert comes_to_be(lambda: open_sockets() <= before, within=10), "a socket is left open"


def test_a_connection_cancelled_as_its_handshake_ends_leaves_no_socket(
    place: TlsPlace, uncollected: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A waiter that leaves then, and the end of its loop, close the connection all the same."""
    made, opening = asyncio.StreamReaderProtocol.connection_made, list[asyncio.Task[Any]]()

    def made_and_cancelled(protocol: asyncio.StreamReaderProtocol, transport: asyncio.BaseTransport) -> None:
        made(protocol, transport)
        if opening:
            opening.pop().cancel()

    async def cancelled(url: str) -> None:
        opening.append(asyncio.create_task(open_by_redis_py(from_url(url, Options(), asynchronous=True))))
        (outcome,) = await asyncio.gather(*opening, return_exceptions=True)
        assert isinstance(outcome, asyncio.CancelledError)

    with TlsFront(place.server.port) as place.front:
        before = open_sockets()
        monkeypatch.setattr(asyncio.StreamReaderProtocol, "connection_made", made_and_cancelled)
        asyncio.run(cancelled(place.url))
        monkeypatch.undo()
        assert not opening
        assert comes_to_be(lambda: open_sockets() <= before, within=10), "a socket is left open"


class Address:
    """A URL, as a place to connect to."""

    def __init__(self, url: str) -> None:
        self.url = url

    def connect(self, awaited: bool, **settings: Any) -> Any:
        return (coord.connect_async if awaited else coord.connect)(self.url, **settings)


def use_and_wait(mode: Backend, url: str, look: Any) -> None:
    """Use what is at a URL, and have another coordinator wait for a name there until it is released."""
    c = mode.dial(url)
    use(c)
    lease = c.claim("job", ttl=30)
    waiting = in_background(Address(url), mode.line.awaited, held)
    wait_until(lambda: bool(look.client_list(_type="pubsub")), "the waiter listens")
    lease.release()
    assert waiting.result() > lease.fence
    c.close()


# --- TLS in front of many ------------------------------------------------------------------------


class ClusterBehindTls:
    """A cluster of one node, which tells the port of the TLS before it."""

    def __init__(self, engine: Engine) -> None:
        port = port_with_bus()
        self.front = TlsFront(port)
        announced = "--cluster-announce-port", str(self.front.port)
        self.server = Server(engine, "--cluster-enabled", "yes", *announced, port=port)
        node = client(self.server)
        node.execute_command("CLUSTER", "ADDSLOTS", *range(16384))
        wait_until(lambda: node.execute_command("CLUSTER INFO")["cluster_state"] == "ok", "the cluster's state is ok")

    def url(self, scheme: str) -> str:
        return f"{scheme}://127.0.0.1:{self.front.port}?ssl_ca_certs={AUTHORITY}"

    def close(self) -> None:
        self.server.stop()
        self.front.close()


@pytest.mark.parametrize("scheme", ["rediss+cluster", "valkeys+cluster"])
def test_a_cluster_behind_tls(mode: Backend, scheme: str) -> None:
    """Every node is reached through TLS, with the certificates that the URL names."""
    with closing(ClusterBehindTls(mode.place.server.engine)) as cluster:
        use_and_wait(mode, cluster.url(scheme), client(cluster.server))
        # The calls of two coordinators, and one subscription.
        assert cluster.front.accepted == 3


def test_a_service_behind_tls(mode: Backend) -> None:
    """``rediss+sentinel://``: the sentinels are asked over TLS, and the server that they name is spoken to over TLS."""
    server = mode.place.front
    with Watch(mode.place.server.engine, server.port) as sentinel, TlsFront(sentinel.port) as front:
        url = f"rediss+sentinel://127.0.0.1:{front.port}/coord?ssl_ca_certs={AUTHORITY}"
        use_and_wait(mode, url, mode.place.client)
        assert front.accepted >= 3
        assert server.accepted == 3


class Watch(SentinelServer):
    """A sentinel that announces the TLS front: to itself the server has no TLS."""

    def __init__(self, engine: Engine, port: int) -> None:
        super().__init__(engine, port, "coord", down_after=600_000)


# --- sockets of the file system ------------------------------------------------------------------


def test_a_socket_of_the_file_system(mode: Backend) -> None:
    """``unix://`` for calls and notices."""
    use_and_wait(mode, f"unix://{mode.place.socket}?db=0", mode.place.client)


def test_a_socket_that_is_not_there(mode: Backend) -> None:
    """The error names the path."""
    with pytest.raises(coord.Unavailable, match=r"cannot reach the server at /nowhere/server.sock"):
        mode.dial("unix:///nowhere/server.sock")
