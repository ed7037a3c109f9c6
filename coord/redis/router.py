"""Which server a call goes to: the only one, or one of the primaries of a cluster. Written once, without I/O."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Sequence
from typing import Generic, Protocol, TypeVar

from coord.clock import SYSTEM
from coord.errors import ConfigError, CoordError, Unavailable
from coord.loops import Home
from coord.notifier import Notifier
from coord.options import Options
from coord.redis.callstate import CallState
from coord.redis.clustersubscriber import ClusterSubscriber
from coord.redis.dialing import Dialer
from coord.redis.handshake import handshake_commands, read_handshake, scratch_keys
from coord.redis.steps import Alone, Node, Steps, ask, left
from coord.redis.subscriber import Subscriber, release_subscriber, subscriber
from coord.redis.topology import Address, SlotMap, no_node_answers

__all__ = ["ClusterRouter", "Router", "ServerRouter"]

N = TypeVar("N", bound=Node)
N_co = TypeVar("N_co", bound=Node, covariant=True)

Groups = Iterable[tuple[N_co, Sequence[CallState]]]

_REFRESH_SECONDS = 0.05
_ASK_SECONDS = 1.0
"""The longest wait for the topology from a node that is not the last to be asked: another may answer at once."""


class Router(Protocol[N_co]):
    """The connections that calls are routed to."""

    publish: str
    timeout: float

    @property
    def nodes(self) -> Sequence[N_co]:
        """The servers that are connected to."""
        ...

    def open(self) -> Steps[None]:
        """Find the servers, connect to them and check them."""
        ...

    def route(self, keys: tuple[str, ...], /) -> N_co:
        """Return the server that has the keys."""
        ...

    def group_by_node(self, states: Sequence[CallState], within: float, /) -> Steps[Groups[N_co]]:
        """Return calls by server; if the topology has to be asked for, wait up to ``within`` seconds."""
        ...

    def subscribe(self) -> Notifier:
        """Return where notifications arrive; each call is matched by one of ``unsubscribe``."""
        ...

    def unsubscribe(self) -> list[Subscriber]:
        """Release what ``subscribe`` returned; return the subscribers to join."""
        ...


def _handshake(node: Node, options: Options, scratch: str, publish: str, timeout: float) -> Steps[int]:
    """Check a server, and return its major version."""
    answers = yield from ask(node, handshake_commands(scratch, publish), timeout)
    return read_handshake(answers, node.where, options)


class ServerRouter(Generic[N]):
    """One server, or the present primary of a Sentinel service."""

    publish = "PUBLISH"

    def __init__(self, dialer: Dialer, options: Options, new_node: Callable[[Dialer], N], home: Home) -> None:
        self.timeout = dialer.timeout
        self._dialer = dialer
        self._options = options
        self._node = new_node(dialer)
        self._home = home
        self.nodes = (self._node,)

    def __repr__(self) -> str:
        return repr(self._dialer)

    def open(self) -> Steps[None]:
        """Connect to the server and check it."""
        scratch = next(scratch_keys(self._options.prefix))
        yield from _handshake(self._node, self._options, scratch, self.publish, self.timeout)

    def route(self, _keys: tuple[str, ...], /) -> N:
        """Return the server."""
        return self._node

    def group_by_node(self, states: Sequence[CallState], _within: float, /) -> Steps[Groups[N]]:
        """Return all calls, for the one server, but those that it redirected."""
        yield from ()
        for state in states:
            if state.redirect:
                where = self._node.where
                state.unreached(ConfigError(f"{where} is a node of a cluster: connect with redis+cluster://"))
        return [(self._node, [state for state in states if not state.settled])]

    def subscribe(self) -> Notifier:
        """Return the subscriber of this process and loop to the server."""
        return subscriber(self._dialer, self._home)

    def unsubscribe(self) -> list[Subscriber]:
        """Release it; return it, if it is closing, to be joined."""
        last = release_subscriber(self._dialer, self._home)
        return [] if last is None else [last]


class ClusterRouter(Generic[N]):
    """The primaries of a cluster, found through any of its nodes, and found again when they change."""

    def __init__(
        self, dialer: Dialer, seeds: Sequence[Address], options: Options, new_node: Callable[[Dialer], N], home: Home
    ) -> None:
        self.publish = "PUBLISH"
        self.timeout = dialer.timeout
        self._dialer = dialer
        self._seeds = list(seeds)
        self._options = options
        self._new_node = new_node
        self._home = home
        self._by_address: dict[Address, N] = {}
        self._slots = SlotMap(dialer.remap)
        self._now = (options.clock or SYSTEM).monotonic
        self._refreshed = -math.inf
        self._troubles: list[CoordError] = []

    def __repr__(self) -> str:
        return f"the cluster of {', '.join(f'{host}:{port}' for host, port in self._slots.primaries)}"

    @property
    def nodes(self) -> Sequence[N]:
        """The servers that are connected to."""
        return list(self._by_address.values())

    def open(self) -> Steps[None]:
        """Find the primaries and check them; skip those that are down."""
        yield from self._refresh(self.timeout * max(1, len(self._seeds)))
        troubles, versions = self._troubles, list[int]()
        for address in self._slots.primaries:
            try:
                scratch = self._slots.first_at(address, scratch_keys(self._options.prefix))
                node = self._node(address)
                versions.append((yield from _handshake(node, self._options, scratch, "SPUBLISH", self.timeout)))
            except Unavailable as error:
                troubles.append(error)
        if not versions:
            raise no_node_answers(self._seeds, troubles)
        # Sharded channels stay within the shard; before 7.0 a notification reaches every node.
        self.publish = "SPUBLISH" if min(versions) >= 7 else "PUBLISH"

    def _node(self, address: Address) -> N:
        node = self._by_address.get(address)
        if node is None:
            # Two threads may get here together: both use the one that is there first.
            node = self._by_address.setdefault(address, self._new_node(self._dialer.elsewhere(*address)))
        return node

    def route(self, keys: tuple[str, ...], /) -> N:
        """Return the primary that has the keys, or any node, which will redirect the call."""
        return self._node((self._slots.owner(keys[0]) if keys else None) or self._any())

    def _any(self) -> Address:
        return (self._slots.primaries or self._seeds)[0]

    def owner(self, key: str) -> Dialer:
        """Return a dialer to the primary that has a key."""
        return self._dialer.elsewhere(*(self._slots.owner(key) or self._any()))

    def group_by_node(self, states: Sequence[CallState], within: float, /) -> Steps[Groups[N]]:
        """Return calls by node, after taking over what redirections and failures say about the topology."""
        redirected = [
            self._slots.redirect(state.keys[0], state.redirect, once=state.asking) if state.redirect else None
            for state in states
        ]
        if any(state.topology_changed for state in states):
            yield Alone(lambda: self._refresh(within), within)
        groups: dict[int, tuple[N, list[CallState]]] = {}
        for state, address in zip(states, redirected, strict=True):
            node = self._node(address) if address else self.route(state.keys)
            groups.setdefault(id(node), (node, []))[1].append(state)
        return groups.values()

    def _refresh(self, within: float) -> Steps[None]:
        """Ask the nodes in turn which slots are where, until one answers; at most every few milliseconds."""
        end = self._now() + within
        if self._now() - self._refreshed < _REFRESH_SECONDS:
            return
        self._troubles = []
        known = list(dict.fromkeys((*self._slots.primaries, *self._by_address, *self._seeds)))
        # In random order: a node that is cut off from the others would return an old topology again and again.
        asked = random.sample(known, len(known))
        for address in asked:
            longest = self.timeout if address == asked[-1] else min(self.timeout, _ASK_SECONDS)
            trouble = yield from self._ask(address, left(end - self._now(), longest))
            if trouble is None or self._now() >= end:
                break
            self._troubles.append(trouble)
        self._refreshed = self._now()
        for address, node in list(self._by_address.items()):
            if address not in self._slots.primaries:
                node.outage.end(node.where)

    def _ask(self, address: Address, within: float) -> Steps[CoordError | None]:
        """Ask one node; return its error, if any."""
        try:
            (reply,) = yield from ask(self._node(address), [("CLUSTER", "SLOTS")], within)
        except CoordError as error:
            return error
        return self._slots.read(reply, address)

    def subscribe(self) -> Notifier:
        """Return where the notifications of all nodes arrive."""
        self._subscriber = ClusterSubscriber(self, self._home, sharded=self.publish == "SPUBLISH")
        return self._subscriber

    def unsubscribe(self) -> list[Subscriber]:
        """Unsubscribe; return the subscribers to join."""
        return self._subscriber.close()
