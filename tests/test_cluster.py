"""Clusters: keys on many nodes, nodes that come and go, slots that move, and nothing of it seen by the caller."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from itertools import count, islice
from threading import Event
from time import monotonic
from typing import Any

import pytest
import redis
import redis.asyncio
from backends import Backend, Line, found
from forked import forks, in_child
from live import Thread, servers
from load import BOUND, REMEMBER, acked, both_loads, counted, held, in_background, is_replicated
from operations import EXAMPLES, Example
from tls_front import AUTHORITY, TlsFront

import coord
from coord.redis.topology import Address, SlotMap, slot
from coord.testing.clock import Clock
from coord.testing.leaks import assert_no_leaks, nothing_left_behind
from coord.testing.servers import Server, free_port
from coord.testing.topologies import Cluster, client, wait_until

pytestmark = pytest.mark.slow

SPREAD = [f"name-{number}" for number in range(60)]
"""Names enough to be on every node."""


class ClusterPlace:
    """A cluster, seen by one who looks at its nodes without coord."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.url = cluster.url
        self._dead: list[Server] = []
        self._clients = {server: client(server) for server in cluster.servers}
        for node in self._clients.values():
            node.ping()

    def connect(self, awaited: bool, **settings: Any) -> Any:
        return (coord.connect_async if awaited else coord.connect)(self.url, **settings)

    def at(self, server: Server) -> Any:
        """A plain client of one node."""
        return self._clients[server]

    def slots(self, asked: Server | None = None) -> SlotMap:
        """Which node has which slots, as any of them tells, or one of them."""
        slots = SlotMap()
        for server in [asked] if asked else self.cluster.servers:
            with suppress(redis.ConnectionError):
                slots.read(self.at(server).execute_command("CLUSTER SLOTS"), ("127.0.0.1", server.port))
                break
        return slots

    def node(self, name: str, asked: Server | None = None) -> Server:
        """The primary that has the keys of a name now."""
        return self._server(self.slots(asked).owner(f"{{{name}}}"))

    def names_on(self, server: Server, wanted: int) -> list[str]:
        """Names whose keys are on one primary."""
        slots = self.slots()
        here = (name for name in map(str, count()) if self._server(slots.owner(f"{{{name}}}")) is server)
        return list(islice(here, wanted))

    def primaries(self) -> list[Server]:
        """The nodes that have slots now."""
        return [self._server(address) for address in self.slots().primaries]

    def _server(self, address: Address | None) -> Server:
        return next(server for server in self.cluster.servers if address == ("127.0.0.1", server.port))

    def all_keys(self) -> list[str]:
        """All keys of all nodes."""
        return [key for server in self.primaries() for key in self.at(server).keys("*")]

    def errors(self, server: Server, code: str) -> int:
        """How often a node has answered with an error."""
        return int(self.at(server).info("errorstats").get(f"errorstat_{code}", {}).get("count", 0))

    def replica(self, primary: Server) -> Server:
        """The node that follows a primary."""
        return next(each for each in self.cluster.servers if self._told(each).get("master_port") == primary.port)

    @contextmanager
    def failing_over_soon(self) -> Iterator[None]:
        """Have nodes taken for failed earlier than otherwise, where a machine that stands still might look like it."""
        self._take_for_failed_after(2000)
        yield
        self.heal()
        self._take_for_failed_after(5000)

    def _take_for_failed_after(self, ms: int) -> None:
        for node in self._clients.values():
            node.config_set("cluster-node-timeout", ms)

    def kill(self, server: Server) -> None:
        """End a node as a crash does, until ``heal``."""
        server.kill()
        self._dead.append(server)

    def heal(self) -> None:
        """Start the nodes that are down, and wait until every primary has its replica in step."""
        while self._dead:
            self._dead.pop().start()
        wait_until(lambda: all(map(self._is_well, self.cluster.servers)), "the cluster is well again", 90)

    def _is_well(self, server: Server) -> bool:
        told, state = self._told(server), self.at(server).execute_command("CLUSTER INFO")
        in_step = told["connected_slaves"] == 1 if told["role"] == "master" else told["master_link_status"] == "up"
        return bool(in_step and state["cluster_state"] == "ok")

    def _told(self, server: Server) -> dict[str, Any]:
        told: dict[str, Any] = self.at(server).info("replication")
        return told

    def flush(self) -> None:
        """Leave no key."""
        for server in self.primaries():
            self.at(server).flushall()


@pytest.fixture(scope="module", params=servers())
def running(request: pytest.FixtureRequest) -> Iterator[ClusterPlace]:
    """Three primaries, each with a replica."""
    with Cluster(found()[request.param], node_timeout=5000) as cluster:
        yield ClusterPlace(cluster)


@pytest.fixture
def place(running: ClusterPlace) -> Iterator[ClusterPlace]:
    """The cluster without keys; it is well again before the next test."""
    running.flush()
    yield running
    running.heal()


@pytest.fixture(params=[False, True], ids=["blocking", "awaited"])
def world(request: pytest.FixtureRequest, place: ClusterPlace) -> Iterator[Backend]:
    """The cluster in one of the two worlds; whatever a test opens there has to be gone after it."""
    with nothing_left_behind():
        world = Backend(Line(place.cluster.engine.name, request.param), place, Clock())
        yield world
        world.close()
    # Nodes learn one after the other who took the place of one that is down.
    wait_until(lambda: not set(place.primaries()) & set(place._dead), "no node that is down is a primary", 90)
    for server in place.primaries():
        assert_no_leaks(place.at(server))


@pytest.fixture
def c(world: Backend) -> Any:
    """A coordinator at the cluster; an awaited one is used as if it blocked."""
    return world.connect()


# --- operations ----------------------------------------------------------------------------------


@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_every_operation_works(world: Backend, c: Any, example: Example) -> None:
    """What works on one server works on a cluster, because all keys of an entity share a slot."""
    example.run(example.prepare(c))
    assert {slot(key) for key in world.place.all_keys()} <= {slot("{x}")}


def test_names_are_spread_over_the_nodes(world: Backend, c: Any) -> None:
    """Each name is where its slot is; together they are everywhere."""
    for name in SPREAD:
        assert c.kv.incr(name) == 1
    shares = [len(world.place.at(server).keys("coord:kv:*}")) for server in world.place.primaries()]
    assert len(shares) == 3
    assert min(shares) > 0
    assert sum(shares) == len(SPREAD)


def test_many_calls_take_one_write_a_node(world: Backend, c: Any) -> None:
    """Calls of a batch go to their nodes together, and the answers are in the order of the calls."""
    assert [c.kv.incr(name) for name in SPREAD] == [1] * len(SPREAD)
    nodes = world.place.primaries()
    before = [reads(world, server) for server in nodes]
    calls = c.calls if world.loop is None else c.inner.calls
    began = monotonic()
    answers = c.run_many([calls.kv.incr(name, number) for number, name in enumerate(SPREAD)])
    assert answers == [1 + number for number in range(len(SPREAD))]
    for server, read in zip(nodes, before, strict=True):
        # Some twenty calls each; a replica reports once a second, and who looks is read too.
        assert reads(world, server) - read <= 5 + 2 * (monotonic() - began)


def reads(world: Backend, server: Server) -> int:
    """How often a node has read from its connections."""
    return int(world.place.at(server).info("stats")["total_reads_processed"])


def test_keys_are_deleted_wherever_they_are(world: Backend, c: Any) -> None:
    """``kv.delete`` takes keys of any nodes, and tells how many were there."""
    for name in SPREAD:
        c.kv.incr(name)
    assert c.kv.delete(*SPREAD, "never there") == len(SPREAD)
    assert [c.kv.get_int(name) for name in SPREAD] == [None] * len(SPREAD)


# --- scripts -------------------------------------------------------------------------------------


def test_every_node_is_given_the_scripts_it_has_never_seen(world: Backend, c: Any) -> None:
    """A batch that meets nodes without the script runs everywhere, once."""
    for server in world.place.primaries():
        world.place.at(server).script_flush()
    calls = c.calls if world.loop is None else c.inner.calls
    assert c.run_many([calls.kv.incr(name) for name in SPREAD]) == [1] * len(SPREAD)


def test_one_node_forgets_its_scripts_amid_batches(world: Backend, c: Any) -> None:
    """Only what did not run is sent again: the calls of the other nodes, and those before, count once."""
    forgetful = world.place.node("x")
    calls = c.calls if world.loop is None else c.inner.calls
    done = Event()

    def forget() -> None:
        with client(forgetful) as node:
            while not done.wait(0.02):
                node.script_flush()

    forgetting = Thread(forget)
    answers: list[int] = []
    before = world.place.errors(forgetful, "NOSCRIPT")
    for _ in range(10):
        answers += c.run_many([calls.kv.incr(name) for name in SPREAD * 10])
    wait_until(lambda: c.kv.incr("x") > 0 and world.place.errors(forgetful, "NOSCRIPT") > before, "it has forgotten")
    done.set()
    forgetting.result()
    for place in range(len(SPREAD)):
        assert answers[place :: len(SPREAD)] == [*range(1, 101)]


# --- slots that move -----------------------------------------------------------------------------


class Move:
    """A slot on its way from one primary to another."""

    def __init__(self, place: ClusterPlace, name: str) -> None:
        self.slot = slot(f"{{{name}}}")
        self._name = name
        self.source = place.node(name)
        self.target = next(server for server in place.primaries() if server is not self.source)
        self._place = place
        self._set(self.target, "IMPORTING", self.source)
        self._set(self.source, "MIGRATING", self.target)

    def carry(self) -> int:
        """Move the keys that are there; return how many there were."""
        source = self._place.at(self.source)
        keys = source.execute_command("CLUSTER", "GETKEYSINSLOT", self.slot, 500)
        if keys:
            source.execute_command("MIGRATE", "127.0.0.1", self.target.port, "", 0, 5000, "KEYS", *keys)
        return len(keys)

    def finish(self) -> None:
        """Move all keys, and give the slot to its new node."""
        while self.carry():
            pass
        for server in (self.target, self.source):
            self._set(server, "NODE", self.target)
        wait_until(self._all_know, "all know who has the slot")

    def _all_know(self) -> bool:
        return all(self._place.node(self._name, server) is self.target for server in self._place.cluster.servers)

    def _set(self, server: Server, what: str, other: Server) -> None:
        name = self._place.at(other).execute_command("CLUSTER MYID")
        self._place.at(server).execute_command("CLUSTER SETSLOT", self.slot, what, name)


def test_a_slot_that_has_moved_is_found(world: Backend, c: Any) -> None:
    """The first call is sent on (MOVED); what was learnt is kept, so that the others go straight there."""
    assert c.kv.incr("x") == 1
    move = Move(world.place, "x")
    move.finish()
    before = world.place.errors(move.source, "MOVED")
    assert [c.kv.incr("x") for _ in range(10)] == [*range(2, 12)]
    assert world.place.errors(move.source, "MOVED") == before + 1


def test_a_key_on_its_way_is_asked_for_where_it_is(world: Backend, c: Any) -> None:
    """A call is sent on for once (ASK), to a node that has never seen its script."""
    assert c.kv.incr("x", 5) == 5
    move = Move(world.place, "x")
    move.carry()
    world.place.at(move.target).script_flush()
    assert [c.kv.get_int("x") for _ in range(3)] == [5, 5, 5]
    assert world.place.errors(move.source, "ASK") >= 3
    move.finish()
    assert c.kv.incr("x") == 6


def test_a_call_of_two_keys_waits_until_they_are_together(world: Backend, c: Any) -> None:
    """A count and what is remembered of it are two keys: while they are apart (TRYAGAIN) the call is made again."""
    assert c.kv.incr("x") == 1
    move = Move(world.place, "x")
    move.carry()
    before = world.place.errors(move.target, "TRYAGAIN")
    counting = in_background(world.place, world.line.awaited, lambda own: own.kv.incr("x"))
    wait_until(lambda: world.place.errors(move.target, "TRYAGAIN") > before + 1, "the call is refused more than once")
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
        with c._runner._router._refreshing.lock:
            assert in_child(lambda: c.kv.incr("x")) == "2"
        assert c.kv.incr("x") == 3


def test_nodes_that_do_not_tell_their_names(world: Backend) -> None:
    """Behind a proxy, nodes leave out their addresses: then they are where the one that answered is."""
    nodes = [world.place.at(server) for server in world.place.cluster.servers]
    with suppress(redis.ResponseError):
        for node in nodes:
            node.config_set("cluster-preferred-endpoint-type", "unknown-endpoint")
    # Redis 6.2 has no such setting and always tells its address.
    try:
        c = world.connect()
        assert c.kv.incr("x") == 1
        Move(world.place, "x").finish()
        assert c.kv.incr("x") == 2
    finally:
        with suppress(redis.ResponseError):
            for node in nodes:
                node.config_set("cluster-preferred-endpoint-type", "ip")


def test_an_address_without_a_host_is_another_port_of_the_same() -> None:
    """``MOVED 3999 :7002`` of the node at 10.0.0.1 means 10.0.0.1:7002."""
    slots = SlotMap()
    slots.read([[0, 16383, ["10.0.0.1", 7001]]], ("10.0.0.1", 7001))
    assert slots.sent_to("{x}", ("", 7002), once=True) == ("10.0.0.1", 7002)
    assert slots.owner("{x}") == ("10.0.0.1", 7001)
    slots.sent_to("{x}", ("", 7002), once=False)
    assert slots.owner("{x}") == ("10.0.0.1", 7002)


# --- waiting -------------------------------------------------------------------------------------


def subscribed(place: ClusterPlace, server: Server) -> list[str]:
    """The channels that somebody listens to at a node."""
    command = "PUBSUB CHANNELS" if server.engine.version < (7,) else "PUBSUB SHARDCHANNELS"
    return list(place.at(server).execute_command(command))


def test_a_hold_is_handed_over(world: Backend, c: Any) -> None:
    """Who waits is woken by a notice: of its shard alone on 7.0 and newer, of the whole cluster before."""
    lease = c.claim("job", ttl=30)
    waiting = in_background(world.place, world.line.awaited, held)
    node = world.place.node("job")
    wait_until(lambda: subscribed(world.place, node) == ["coord:claim:{job}"], "the waiter listens")
    assert all(not subscribed(world.place, server) for server in world.place.cluster.primaries if server is not node)
    lease.release()
    assert waiting.result() > lease.fence


def test_a_barrier_wakes_who_waits_for_it(world: Backend, c: Any) -> None:
    """The last arrival wakes the waiter, wherever the barrier is."""
    barrier = c.barrier("batch")
    barrier.open(parties=2)
    barrier.arrive("a")
    waiting = in_background(world.place, world.line.awaited, lambda own: own.barrier("batch").wait(timeout=BOUND))
    wait_until(lambda: bool(subscribed(world.place, world.place.node("batch"))), "the waiter listens")
    barrier.arrive("b")
    assert waiting.result().state == "complete"


def test_a_request_wakes_who_waits_for_it(world: Backend, c: Any) -> None:
    """The last work done wakes the waiter, wherever the request is."""
    request = c.request("r-1")
    request.register()
    request.add("embed", "doc")
    waiting = in_background(world.place, world.line.awaited, lambda own: own.request("r-1").wait(timeout=BOUND))
    wait_until(lambda: bool(subscribed(world.place, world.place.node("r-1"))), "the waiter listens")
    request.done("embed", "doc")
    assert waiting.result()["embed"].processed == 1


# --- nodes that fail -----------------------------------------------------------------------------


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


def test_who_waits_is_served_after_a_failover(world: Backend, c: Any) -> None:
    """A replica takes over from a primary that is still alive: waiters get their turn, and fences grow."""
    lease = c.claim("job", ttl=30)
    primary = world.place.node("job")
    waiting = in_background(world.place, world.line.awaited, held)
    wait_until(lambda: bool(subscribed(world.place, primary)), "the waiter listens")
    replica = world.place.replica(primary)
    assert is_replicated(world.place.at(primary), "job")
    world.place.at(replica).execute_command("CLUSTER FAILOVER", "TAKEOVER")
    wait_until(lambda: world.place.node("job") is replica, "the replica is the primary")
    assert lease.release()
    assert waiting.result() > lease.fence


def test_a_wait_is_bounded_when_no_node_answers(world: Backend) -> None:
    """The primary is gone, and the nodes that could tell who is in its place are frozen: the wait ends all the same."""
    c = world.connect(timeout=40.0, patience=60.0, remember=200.0)
    assert c.holder("job") is None
    victim = world.place.node("job")
    others = [server for server in world.place.cluster.servers if server is not victim]
    for server in others:
        server.signal(signal.SIGSTOP)
    try:
        world.place.kill(victim)
        started = monotonic()
        with pytest.raises(coord.WaitTimeout, match=r"'job' is free was not told within 0\.4 s"):
            c.hold("job", wait=0.4).__enter__()
        assert monotonic() - started < BOUND
    finally:
        for server in others:
            server.signal(signal.SIGCONT)
    with c.hold("job", wait=2 * BOUND):
        pass


# --- connecting ----------------------------------------------------------------------------------


def test_any_node_tells_the_way(world: Backend) -> None:
    """Of the nodes in the URL one has to be alive; a replica will do."""
    replica = world.place.cluster.replicas[0].port
    c = world.dial(f"redis+cluster://127.0.0.1:{free_port()},127.0.0.1:{replica}")
    assert [c.kv.incr(name) for name in SPREAD] == [1] * len(SPREAD)


def test_no_node_answers(world: Backend) -> None:
    """A cluster that is not there is told at once, with the nodes that were tried."""
    ports = free_port(), free_port()
    started = monotonic()
    with pytest.raises(coord.Unavailable, match=f"127.0.0.1:{ports[0]}.*127.0.0.1:{ports[1]}.*cannot reach"):
        world.dial(f"redis+cluster://:s3cret@127.0.0.1:{ports[0]},127.0.0.1:{ports[1]}")
    assert monotonic() - started < 5


def test_a_server_is_no_cluster(world: Backend) -> None:
    """``redis+cluster://`` to a server that is alone says which URL is right."""
    with (
        Server(world.place.cluster.engine) as alone,
        pytest.raises(coord.ConfigError, match="is no cluster: connect with redis://"),
    ):
        world.dial(f"redis+cluster://127.0.0.1:{alone.port}")


def test_a_node_is_no_server(world: Backend) -> None:
    """``redis://`` to a node of a cluster works until a name is elsewhere; then it says at once which URL is right."""
    one, other, *_ = world.place.primaries()
    c = world.dial(one.url)
    here, there = world.place.names_on(one, 1)[0], world.place.names_on(other, 1)[0]
    assert c.kv.incr(here) == 1
    started = monotonic()
    with pytest.raises(coord.ConfigError, match=f"{one.port} is a node of a cluster: connect with redis\\+cluster://"):
        c.kv.incr(there)
    assert monotonic() - started < 5
    calls = c.calls if world.loop is None else c.inner.calls
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


def test_a_cluster_with_a_password(world: Backend, password: str) -> None:
    """The password of the URL opens every node, and the connection on which notices arrive."""
    c = world.dial(with_password(world.place.url, password))
    assert [c.kv.incr(name) for name in SPREAD] == [1] * len(SPREAD)
    with c.hold("job"), pytest.raises(coord.WaitTimeout), c.hold("job", wait=0.05):
        pass
    with c.hold("job"):
        pass
    assert password not in repr(c)


@pytest.mark.parametrize("wrong", ["", ":wrong@"])
def test_a_wrong_password_is_told(world: Backend, password: str, wrong: str) -> None:
    """A cluster that lets nobody in is not said to be silent."""
    url = world.place.url.replace("://", f"://{wrong}")
    with pytest.raises(coord.ConfigError, match="password") as raised:
        world.dial(url)
    assert "wrong@" not in str(raised.value)


@pytest.mark.parametrize("decode", [False, True])
def test_clients_that_are_handed_in(world: Backend, decode: bool) -> None:
    """A cluster's client of redis-py gives its settings; its own connections are left alone."""
    first = world.place.cluster.servers[0].port
    if world.loop is None:
        theirs = redis.RedisCluster(port=first, host="127.0.0.1", decode_responses=decode)
        c = world.adopt(coord.connect(client=theirs))
        use(c)
        theirs.close()
        return

    async def made() -> tuple[Any, Any]:
        theirs = redis.asyncio.RedisCluster(port=first, host="127.0.0.1", decode_responses=decode)
        return theirs, await coord.connect_async(client=theirs)

    theirs, c = world.loop.run_until_complete(made())
    use(world.adopt(at_once(c)))
    world.loop.run_until_complete(theirs.aclose())


async def at_once(made: Any) -> Any:
    return made


def test_addresses_are_turned_into_those_of_the_client(world: Backend) -> None:
    """Nodes tell addresses of their own network; ``address_remap`` of a client says where they are reached from here.

    Here that is over TLS at other ports, so that no address is of any use which has not been turned, or was turned
    twice: whether a node tells it with the topology, or sends a call there for good (MOVED) or for once (ASK).
    """
    with ExitStack() as stack:
        fronts = {each.port: stack.enter_context(TlsFront(each.port)) for each in world.place.cluster.servers}
        first, *_ = fronts.values()
        settings = {"host": "127.0.0.1", "port": first.port, "ssl": True, "ssl_ca_certs": str(AUTHORITY)}

        def remap(address: Address) -> Address:
            return address[0], fronts[address[1]].port

        if world.loop is None:
            with redis.RedisCluster(**settings, address_remap=remap) as theirs:
                c = world.adopt(coord.connect(client=theirs))
        else:
            awaited = redis.asyncio.RedisCluster(**settings, address_remap=remap)
            c = world.adopt(coord.connect_async(client=awaited))
            world.loop.run_until_complete(awaited.aclose())
        use(c)
        move = Move(world.place, SPREAD[0])
        move.carry()
        world.place.at(move.target).script_flush()
        assert c.kv.get_int(SPREAD[0]) == 1
        assert world.place.errors(move.source, "ASK") >= 1
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


def test_the_wrong_kind_of_client(world: Backend) -> None:
    """A blocking coordinator takes a blocking client, an awaited one an awaited one."""
    first = world.place.cluster.servers[0].port
    if world.loop is None:
        with pytest.raises(coord.ConfigError, match="the other kind"):
            coord.connect(client=redis.asyncio.RedisCluster(port=first, host="127.0.0.1"))
        return
    with (
        redis.RedisCluster(port=first, host="127.0.0.1") as theirs,
        pytest.raises(coord.ConfigError, match="other kind"),
    ):
        world.adopt(coord.connect_async(client=theirs))


def test_a_database_is_refused() -> None:
    """A cluster has only one database."""
    with pytest.raises(coord.ConfigError, match="no database"):
        coord.connect("redis+cluster://127.0.0.1:7000/1")
