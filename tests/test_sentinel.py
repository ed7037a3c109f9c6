"""Sentinel services: whichever server is the primary now, and nothing of its changes seen by the caller."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from time import monotonic
from types import SimpleNamespace
from typing import Any

import pytest
import redis
import redis.asyncio
import redis.sentinel
from backends import Backend, Line, found
from hotel import Hotel
from live import SOON, Thread, servers
from load import BOUND, REMEMBER, acked, both_loads, counted, held, in_background, is_replicated
from sentinels import SentinelPlace

import coord
from coord.options import Options
from coord.redis.dialing import Dialer, from_client, from_url
from coord.testing.clock import Clock
from coord.testing.leaks import assert_no_leaks, nothing_left_behind
from coord.testing.servers import free_port
from coord.testing.topologies import Sentinels, client, wait_until

pytestmark = pytest.mark.slow

NAMES = ["x", "y", "z"]


@pytest.fixture(scope="module", params=servers())
def running(request: pytest.FixtureRequest) -> Iterator[SentinelPlace]:
    """A primary, a replica, and three sentinels."""
    with Sentinels(found()[request.param], down_after=5000) as sentinels:
        yield SentinelPlace(sentinels)


@pytest.fixture
def place(running: SentinelPlace) -> Iterator[SentinelPlace]:
    """The service without keys; it is well again before the next test."""
    client(running.primary).flushall()
    yield running
    running.heal()


@pytest.fixture(params=[False, True], ids=["blocking", "awaited"])
def mode(request: pytest.FixtureRequest, place: SentinelPlace) -> Iterator[Backend]:
    """The service in one of the two modes; whatever a test opens there has to be gone after it."""
    with nothing_left_behind():
        mode = Backend(Line(str(place), request.param), place, Clock())
        yield mode
        mode.close()
    assert_no_leaks(client(place.primary))


def use(c: Any) -> None:
    """Use the service, and wait for something."""
    assert c.kv.incr("x") == 1
    with c.hold("job", ttl=30), pytest.raises(coord.WaitTimeout), c.hold("job", wait=0.1):
        pass
    assert c.holder("job") is None


def test_a_family_of_a_user_goes_on_after_a_failover(mode: Backend) -> None:
    """A user's own scripts and waits have what coord's have."""
    c = mode.connect()
    hotel: Any = Hotel(c if mode.loop is None else c.inner, "sea")

    def result(of: Any) -> Any:
        return of if mode.loop is None else mode.loop.run_until_complete(of)

    assert result(hotel.check_in("ann")) is True
    with pytest.raises(coord.WaitTimeout):
        result(hotel.await_bed("bob", timeout=0.1))
    assert is_replicated(client(mode.place.primary), "sea")
    mode.place.fail_over()
    assert result(hotel.check_in("bob")) is False
    assert result(hotel.check_out("ann")) is True
    assert result(hotel.await_bed("bob", timeout=SOON)) is True


# --- connecting ----------------------------------------------------------------------------------


def test_the_sentinels_are_asked_for_the_primary(mode: Backend) -> None:
    """The URL names the sentinels and the service, not the server."""
    use(mode.connect())
    assert mode.place.count("x") == 1


def test_a_sentinel_that_is_dead_is_passed_over(mode: Backend) -> None:
    """Of the sentinels in the URL one has to be alive."""
    alive = mode.place.sentinels.sentinels[2].port
    use(mode.dial(f"redis+sentinel://127.0.0.1:{free_port()},127.0.0.1:{alive}/coord/0"))


def test_a_service_that_nobody_knows(mode: Backend) -> None:
    """A wrong name is an error at once, with the name and without the password."""
    alive = mode.place.sentinels.sentinels[0].port
    with pytest.raises(coord.Unavailable, match=r"the primary of nobody.*No master found for 'nobody'") as raised:
        mode.dial(f"redis+sentinel://:s3cret@127.0.0.1:{alive}/nobody")
    assert "s3cret" not in str(raised.value)


def test_no_sentinel_answers(mode: Backend) -> None:
    """Missing sentinels are an error at once."""
    started = monotonic()
    with pytest.raises(coord.Unavailable, match="cannot reach the primary of coord"):
        mode.dial(f"redis+sentinel://127.0.0.1:{free_port()},127.0.0.1:{free_port()}/coord")
    assert monotonic() - started < 5


@pytest.mark.parametrize("decode", [False, True])
def test_clients_that_are_handed_in(mode: Backend, decode: bool) -> None:
    """A client made by ``master_for`` gives its settings and its sentinels; its own connections are left alone."""
    addresses = [("127.0.0.1", sentinel.port) for sentinel in mode.place.sentinels.sentinels]
    if mode.loop is None:
        sentinel = redis.sentinel.Sentinel(addresses)
        use(mode.adopt(coord.connect(client=sentinel.master_for("coord", decode_responses=decode))))
        for each in sentinel.sentinels:
            each.close()
        return
    awaited = redis.asyncio.Sentinel(addresses)
    theirs = awaited.master_for("coord", decode_responses=decode)
    use(mode.adopt(coord.connect_async(client=theirs)))
    for each in (theirs, *awaited.sentinels):
        mode.loop.run_until_complete(each.aclose())


def test_services_of_one_name_are_many() -> None:
    """Each has its own subscription connection, unless the same sentinels watch it."""

    def identity(hosts: str) -> object:
        return from_url(f"redis+sentinel://{hosts}/mymaster", Options(), asynchronous=False).identity

    assert identity("a:1,b:2") == identity("b:2,a:1")
    assert identity("a:1,b:2") != identity("c:1,d:2")


class Sentinel:
    """A sentinel that answers once two ask it at the same time; one without ``together`` is down."""

    def __init__(self, port: int, together: threading.Barrier | None = None) -> None:
        settings = {"host": "127.0.0.1", "port": port}
        self.connection_pool = SimpleNamespace(connection_kwargs=settings, disconnect=self.disconnect)
        self._together = together

    def disconnect(self, inuse_connections: bool = True) -> None:
        """Nothing is open."""

    def sentinel_masters(self, **_: Any) -> dict[str, Any]:
        """Return the services that it watches."""
        if self._together is None:
            raise redis.ConnectionError("down")
        self._together.wait(SOON)
        state = {"is_master": True, "is_sdown": False, "is_odown": False, "num-other-sentinels": 2}
        return {"svc": {**state, "ip": "127.0.0.1", "port": 6379}}


def test_threads_that_ask_the_sentinels_together_unlearn_none() -> None:
    """Two find the first one down and the second one well, and both move it to the front, at the same time."""
    dialer = from_url("redis+sentinel://127.0.0.1:1,127.0.0.1:2,127.0.0.1:3/svc", Options(), asynchronous=False)
    manager, before = dialer.pool.sentinel_manager, dialer.identity
    manager.sentinels = [Sentinel(1), Sentinel(2, threading.Barrier(2)), Sentinel(3)]
    threads = [Thread(lambda: manager.discover_master("svc")) for _ in range(2)]
    assert [each.result() for each in threads] == [("127.0.0.1", 6379)] * 2
    ports = [each.connection_pool.connection_kwargs["port"] for each in manager.sentinels]
    assert sorted(ports) == [1, 2, 3]
    assert ports[0] == 2
    # By which a subscriber is found again when the last coordinator is closed.
    assert dialer.identity == before


def test_the_subscription_connection_asks_the_same_sentinels_in_the_same_way() -> None:
    """It is awaited, also for a blocking client, and has its passwords and certificates."""
    sentinel = redis.Sentinel([("h", 1)], sentinel_kwargs={"password": "theirs"}, password="its", ssl=True)
    dialer: Dialer = from_client(sentinel.master_for("coord"), Options(), asynchronous=False)
    awaited = dialer.awaited()
    assert awaited is not None
    (asked,) = awaited.pool.sentinel_manager.sentinels
    assert asked.connection_pool.connection_kwargs["password"] == "theirs"
    connection = awaited.dial()
    assert isinstance(connection, redis.asyncio.sentinel.SentinelManagedSSLConnection)
    assert connection.password == "its"


def test_what_a_url_says_of_sentinels_and_of_the_server() -> None:
    """What begins with ``sentinel_`` is for the sentinels, TLS and sockets are for both, the rest for the server."""
    url = (
        "rediss+sentinel://anna:its@a:1,[::1]:2,c/coord/3?sentinel_username=bert&sentinel_password=the%2Birs%2541"
        "&ssl_ca_certs=authority.pem&sentinel_socket_timeout=1.5&client_name=shop"
    )
    for asynchronous in (False, True):
        dialer = from_url(url, Options(), asynchronous=asynchronous)
        connection = dialer.dial()
        assert (connection.username, connection.password, connection.db) == ("anna", "its", 3)
        assert (connection.client_name, connection.socket_timeout) == ("shop", 5.0)
        assert "SSL" in type(connection).__name__
        sentinels = [each.connection_pool.connection_kwargs for each in dialer.pool.sentinel_manager.sentinels]
        assert [(each["host"], each["port"]) for each in sentinels] == [("a", 1), ("::1", 2), ("c", 26379)]
        for each in sentinels:
            assert (each["username"], each["password"]) == ("bert", "the+irs%41")
            assert (each["ssl_ca_certs"], each["socket_timeout"]) == ("authority.pem", 1.5)


@pytest.fixture
def guarded(mode: Backend) -> Iterator[Backend]:
    """Sentinels and servers want passwords, each their own; who is connected already stays connected."""
    sentinels = mode.place.sentinels
    lines = [client(server) for server in (*sentinels.sentinels, *sentinels.servers)]
    for line in lines[:3]:
        line.execute_command("ACL", "SETUSER", "default", "resetpass", ">theirs")
    for line in lines[3:]:
        line.execute_command("ACL", "SETUSER", "anna", "on", ">its", "~*", "&*", "+@all")
    yield mode
    for line in lines[:3]:
        line.execute_command("ACL", "SETUSER", "default", "nopass")
    for line in lines:
        line.close()


def test_sentinels_with_a_password_of_their_own(guarded: Backend) -> None:
    """It stands in the URL as an option; the password before the hosts is the server's."""
    hosts = guarded.place.url.removeprefix("redis+sentinel://")
    c = guarded.dial(f"redis+sentinel://anna:its@{hosts}?sentinel_username=default&sentinel_password=theirs")
    use(c)
    assert "theirs" not in repr(c)


@pytest.mark.parametrize("wrong", ["", "?sentinel_password=wrong-7f3a"])
def test_a_password_that_the_sentinels_do_not_take(guarded: Backend, wrong: str) -> None:
    """The error says whose password it is, and not the password."""
    with pytest.raises(coord.ConfigError, match="the primary of coord: the sentinels refuse the login") as raised:
        guarded.dial(guarded.place.url + wrong)
    assert "7f3a" not in str(raised.value)
    assert "7f3a" not in repr(raised.value.__cause__)


# --- waiting -------------------------------------------------------------------------------------


def test_a_hold_is_handed_over(mode: Backend) -> None:
    """Who waits listens at the primary, and is woken by a notice."""
    c = mode.connect()
    lease = c.claim("job", ttl=30)
    waiting = in_background(mode.place, mode.line.awaited, held)
    wait_until(lambda: mode.place.subscribed() == ["coord:claim:{job}"], "the waiter listens")
    lease.release()
    assert waiting.result() > lease.fence


# --- primaries that change -----------------------------------------------------------------------


def test_the_primary_is_replaced_under_load(place: SentinelPlace) -> None:
    """The sentinels are ordered to fail over, while the old primary is alive: all go on, and no count is doubled.

    Until it hears of its demotion the old primary still takes writes, and these are lost: a replica that is promoted by
    order does not wait for them. After it (READONLY) who is still connected to it asks the sentinels again.
    """
    with nothing_left_behind(), both_loads(place, NAMES, patience=BOUND, remember=REMEMBER) as loads:
        fence, waiting = held_and_waited_for(place)
        assert is_replicated(client(place.primary), "job")
        place.fail_over()
        at_new_primary = place.count("x")
        for load in loads:
            load.goes_on()
        assert place.count("x") >= at_new_primary + 20
        assert_handed_over(place, fence, waiting)
    for load in loads:
        assert not load.refused
        assert load.gap < BOUND
    assert_never_doubled(place, loads)


def test_the_primary_is_killed_under_load(place: SentinelPlace) -> None:
    """The replica takes over, and all go on by themselves; no count is doubled, and none is lost that was replicated.

    Replication is asynchronous: a count that was acknowledged in the last moment may die with its primary.
    """
    with (
        place.failing_over_soon(),
        nothing_left_behind(),
        both_loads(place, NAMES, patience=BOUND, remember=REMEMBER) as loads,
    ):
        fence, waiting = held_and_waited_for(place)
        replicated = acked(loads)
        victim = place.primary
        assert is_replicated(client(victim), "job")
        place.kill(victim)
        for load in loads:
            load.goes_on()
        wait_until(lambda: bool(place.subscribed()), "the waiters listen at the new primary")
        assert_handed_over(place, fence, waiting)
    for load in loads:
        assert not load.refused
        assert load.gap < BOUND
    stored = assert_never_doubled(place, loads)
    for name in NAMES:
        assert stored[name] >= replicated[name]


def held_and_waited_for(place: SentinelPlace) -> tuple[int, list[Thread]]:
    """Have Anna hold a name, and others wait for it, blocking and awaited; return her fence, and the waiters."""
    with coord.connect(place.url) as c:
        fence = c.claim("job", owner="anna").fence
    waiting = [in_background(place, awaited, held) for awaited in (False, True)]
    wait_until(lambda: bool(place.subscribed()), "the waiters listen")
    return fence, waiting


def assert_handed_over(place: SentinelPlace, fence: int, waiting: list[Thread]) -> None:
    """Anna still has her claim; once she lets it go, those who wait get it in turn, under later fences."""
    with coord.connect(place.url, patience=BOUND, remember=REMEMBER) as c:
        lease = c.claim("job", owner="anna")
        assert lease.fence == fence
        lease.release()
    assert min(waiter.result() for waiter in waiting) > fence


def assert_never_doubled(place: SentinelPlace, loads: Any) -> dict[str, int]:
    """Return what is stored of each name: never more than callers got, or have as unknown."""
    with coord.connect(place.url) as c:
        stored = counted(c, *NAMES)
    for name in NAMES:
        assert stored[name] <= acked(loads)[name] + loads[0].unknown[name] + loads[1].unknown[name]
    return stored


# --- sentinels that are silent ------------------------------------------------------------------


def test_a_wait_is_bounded_when_the_sentinels_are_silent(mode: Backend) -> None:
    """The connection is gone, and who should tell where to is frozen: the wait ends all the same, in both modes."""
    c = mode.connect(timeout=40.0, patience=60.0, remember=200.0)
    c.kv.incr("x")
    frozen, primary = mode.place.sentinels.sentinels, mode.place.primary
    for sentinel in frozen:
        sentinel.signal(signal.SIGSTOP)
    try:
        with client(primary) as operator:
            operator.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        started = monotonic()
        with pytest.raises(coord.WaitTimeout, match=r"'job' could not be read within 0\.4 s"):
            c.hold("job", wait=0.4).__enter__()
        assert monotonic() - started < BOUND
    finally:
        for sentinel in frozen:
            sentinel.signal(signal.SIGCONT)
    with c.hold("job", wait=BOUND):
        pass
