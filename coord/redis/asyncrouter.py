"""Where an awaited runner sends its calls: to one server, or to the nodes of a cluster."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable, Sequence
from typing import Protocol

from coord.errors import Closed, ConfigError, CoordError, Unavailable
from coord.loops import Home, RunningLoop
from coord.notifier import Notifier
from coord.options import Options
from coord.redis.asyncconnection import AsyncConnection, opened
from coord.redis.clustersubscriber import ClusterSubscriber
from coord.redis.dialing import LOST, Dialer
from coord.redis.handshake import handshake_commands, read_handshake, scratch_keys
from coord.redis.retry import CallState, could_not_connect, refuse, settle_redirected
from coord.redis.subscriber import release_subscriber, subscriber
from coord.redis.topology import Address, SlotMap, nobody_answers

__all__ = ["AsyncClusterRouter", "AsyncRouter", "AsyncServerRouter", "Node"]

_REFRESH_SECONDS = 0.05
_SILENT_SECONDS = 0.1
"""Seconds without any answer after which a connection is doubted by a call that ran out of time."""
_ASK_SECONDS = 1.0
"""The most that one node is waited for when it is asked for the topology: another may answer at once."""

Group = tuple["Node", list[CallState]]


class Node:
    """One server, and the connection to it that all tasks of the loop share; opened again when it breaks."""

    def __init__(self, dialer: Dialer) -> None:
        self.dialer = dialer
        self.connection: AsyncConnection | None = None
        self._loop = asyncio.get_running_loop()
        self._opening: asyncio.Task[AsyncConnection] | None = None
        self._parting: set[asyncio.Task[None]] = set()
        self._closed = False

    async def connected(self) -> AsyncConnection:
        """Return the connection, opened if need be."""
        if asyncio.get_running_loop() is not self._loop:
            raise ConfigError(
                "this coordinator belongs to another event loop: make one with connect_async in each loop"
            )
        if self._closed:
            raise Closed("the coordinator is closed")
        if self.connection is not None and not self.connection.closed:
            return self.connection
        if self._opening is None:
            self._opening = self._loop.create_task(opened(self.dialer))
            self._opening.add_done_callback(self._take)
        # Shielded: one caller that leaves does not take the others' connection away.
        return await asyncio.shield(self._opening)

    async def leave(self, connection: AsyncConnection) -> None:
        """Have the calls from now on use another connection, and close this one once those before are answered."""
        if self.connection is connection:
            self.connection = None
        await connection.drain(self.dialer.timeout)
        await connection.close()

    def doubt(self) -> None:
        """A call ran out of time: have those from now on use another connection, if this one is silent altogether.

        Calls of other tasks that wait on it go on waiting, until it is noticed to be broken.
        """
        connection = self.connection
        if connection is not None and connection.silent_for >= _SILENT_SECONDS:
            self.connection = None
            parting = self._loop.create_task(self._part(connection))
            self._parting.add(parting)
            parting.add_done_callback(self._parting.discard)

    async def _part(self, connection: AsyncConnection) -> None:
        try:
            await connection.drain(None)
        finally:
            await connection.close()

    async def read_handshake(self, options: Options, scratch: str, publish: str) -> int:
        """Look at the server, and return its major version."""
        connection = await self.connected()
        try:
            answers = [await answer for answer in connection.ask_many(handshake_commands(scratch, publish))]
            return read_handshake(answers, self.dialer.where, options)
        except LOST as error:
            refuse(error, self.dialer.where)

    def _take(self, opening: asyncio.Task[AsyncConnection]) -> None:
        self._opening = None
        if not opening.cancelled() and opening.exception() is None:
            self.connection = opening.result()

    async def close(self, seconds: float) -> None:
        """Wait for what is in flight, no longer than so many seconds, and close the connection."""
        self._closed = True
        if self._opening is not None:
            await asyncio.wait([self._opening])
        connection, self.connection = self.connection, None
        if connection is not None:
            self._parting.add(self._loop.create_task(self._part(connection)))
        if self._parting:
            _, late = await asyncio.wait(self._parting, timeout=seconds)
            for parting in late:
                parting.cancel()
            await asyncio.gather(*self._parting, return_exceptions=True)


class AsyncRouter(Protocol):
    """Where calls go."""

    publish: str

    async def open(self) -> None:
        """Connect, and look at the servers."""
        ...

    def route(self, keys: tuple[str, ...], /) -> Node:
        """Return the server that has the keys."""
        ...

    async def group_by_node(self, states: Sequence[CallState]) -> Iterable[Group]:
        """Return calls by the server that each goes to."""
        ...

    def subscribe(self) -> Notifier:
        """Return where notices arrive; each call is matched by one of ``unsubscribe``."""
        ...

    async def unsubscribe(self) -> None:
        """Give the notices back."""
        ...

    async def close(self) -> None:
        """Finish what is in flight and close all connections."""
        ...


class AsyncServerRouter:
    """One server, or whichever is the primary of a Sentinel service."""

    publish = "PUBLISH"

    def __init__(self, dialer: Dialer, options: Options, home: Home | None = None) -> None:
        self._options = options
        self._node = Node(dialer)
        self._home = home or RunningLoop()

    def __repr__(self) -> str:
        return repr(self._node.dialer)

    async def open(self) -> None:
        """Connect, and look at the server."""
        await self._node.read_handshake(self._options, next(scratch_keys(self._options.prefix)), self.publish)

    def route(self, _keys: tuple[str, ...], /) -> Node:
        """Return the server."""
        return self._node

    async def group_by_node(self, states: Sequence[CallState]) -> Iterable[Group]:
        """All calls go to the one server."""
        return [(self._node, settle_redirected(states, self._node.dialer.where))]

    def subscribe(self) -> Notifier:
        """Return the subscriber of this loop for the server."""
        return subscriber(self._node.dialer, self._home)

    async def unsubscribe(self) -> None:
        """Release the subscriber; wait until its connection has ended."""
        last = release_subscriber(self._node.dialer, self._home)
        if last is not None:
            await last.joined()

    async def close(self) -> None:
        """Finish what is in flight and close the connection."""
        await self._node.close(self._node.dialer.timeout)


class AsyncClusterRouter:
    """The primaries of a cluster, found through any of its nodes, and found again when they change."""

    publish = "PUBLISH"

    def __init__(self, dialer: Dialer, seeds: Sequence[Address], options: Options, home: Home | None = None) -> None:
        self._dialer = dialer
        self._home = home or RunningLoop()
        self._seeds = list(seeds)
        self._options = options
        self._nodes: dict[Address, Node] = {}
        self._slots = SlotMap(dialer.remap)
        self._sharded = False
        self._refreshing: asyncio.Task[list[CoordError]] | None = None
        self._refreshed = -_REFRESH_SECONDS
        self._loop = asyncio.get_running_loop()

    def __repr__(self) -> str:
        return f"the cluster of {', '.join(f'{host}:{port}' for host, port in self._slots.primaries)}"

    async def open(self) -> None:
        """Find the primaries, and look at them."""
        # Sharded channels stay within the shard; before 7.0 every node is told.
        self._sharded = await self._oldest() >= 7
        self.publish = "SPUBLISH" if self._sharded else "PUBLISH"

    async def _oldest(self) -> int:
        """Find the primaries, look at them, and return the lowest version; those that are down are passed over."""
        troubles, versions = await self._refresh(), list[int]()
        for address in self._slots.primaries:
            try:
                own = self._slots.first_at(address, scratch_keys(self._options.prefix))
                versions.append(await self._node(address).read_handshake(self._options, own, "SPUBLISH"))
            except Unavailable as error:
                troubles.append(error)
        if not versions:
            raise nobody_answers(self._seeds, troubles)
        return min(versions)

    def _node(self, address: Address) -> Node:
        node = self._nodes.get(address)
        if node is None:
            node = self._nodes[address] = Node(self._dialer.elsewhere(*address))
        return node

    def route(self, keys: tuple[str, ...], /) -> Node:
        """Return the primary that has the keys, or any node, which will know."""
        return self._node((self._slots.owner(keys[0]) if keys else None) or self._any())

    def _any(self) -> Address:
        return (self._slots.primaries or self._seeds)[0]

    def owner(self, key: str) -> Dialer:
        """Return a dialer to the primary that has a key."""
        return self._dialer.elsewhere(*(self._slots.owner(key) or self._any()))

    async def group_by_node(self, states: Sequence[CallState]) -> Iterable[Group]:
        """Return calls by node, once what was learnt of the topology is taken in."""
        sent_to = [
            self._slots.sent_to(state.keys[0], state.sent_to, once=state.asking) if state.sent_to else None
            for state in states
        ]
        if any(state.topology_changed for state in states):
            if self._refreshing is None:
                self._refreshing = self._loop.create_task(self._refresh())
            await asyncio.shield(self._refreshing)
        group_by_node: dict[int, Group] = {}
        for state, address in zip(states, sent_to, strict=True):
            node = self._node(address) if address else self.route(state.keys)
            group_by_node.setdefault(id(node), (node, []))[1].append(state)
        return group_by_node.values()

    async def _refresh(self) -> list[CoordError]:
        """Ask the nodes in turn which slots are where, until one answers; at most every few milliseconds.

        Returns what was wrong with those that did not.
        """
        troubles: list[CoordError] = []
        if self._loop.time() - self._refreshed >= _REFRESH_SECONDS:
            known = list(dict.fromkeys((*self._slots.primaries, *self._nodes, *self._seeds)))
            # In any order: a node that is cut off from the others would tell what was once so, again and again.
            for address in random.sample(known, len(known)):
                trouble = await self._ask(address)
                if trouble is None:
                    break
                troubles.append(trouble)
            self._refreshed = self._loop.time()
        self._refreshing = None
        return troubles

    async def _ask(self, address: Address) -> CoordError | None:
        """Ask one node; return what is wrong with it."""
        node = self._node(address)
        try:
            async with asyncio.timeout(min(self._dialer.timeout, _ASK_SECONDS)):
                reply = await (await node.connected()).ask(("CLUSTER", "SLOTS"))
        except CoordError as error:
            return error
        except LOST as error:
            return could_not_connect(error, node.dialer.where)
        return self._slots.read(reply, address)

    def subscribe(self) -> Notifier:
        """Return where the notices of all nodes arrive."""
        self._subscriber = ClusterSubscriber(self, self._home, sharded=self._sharded)
        return self._subscriber

    async def unsubscribe(self) -> None:
        """End the subscriptions, and wait until their connections have ended."""
        for closed in self._subscriber.close():
            await closed.joined()

    async def close(self) -> None:
        """Finish what is in flight and close all connections."""
        if self._refreshing is not None:
            await asyncio.wait([self._refreshing])
        for node in list(self._nodes.values()):
            await node.close(self._dialer.timeout)
