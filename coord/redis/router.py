"""Where a blocking runner sends its calls: to one server, or to the nodes of a cluster."""

from __future__ import annotations

import math
import random
import threading
from collections.abc import Iterable, Sequence
from time import monotonic
from typing import Protocol

from coord.errors import CoordError, Unavailable
from coord.fork import ForkSafeLock
from coord.loops import BACKGROUND
from coord.notifier import Notifier
from coord.options import Options
from coord.redis.clustersubscriber import ClusterSubscriber
from coord.redis.connection import Pool
from coord.redis.dialing import LOST, Dialer
from coord.redis.handshake import handshake_commands, read_handshake, scratch_keys
from coord.redis.retry import CallState, could_not_connect, refuse, settle_redirected
from coord.redis.subscriber import release_subscriber, subscriber
from coord.redis.topology import Address, SlotMap, nobody_answers

__all__ = ["ClusterRouter", "Router", "ServerRouter", "left"]

_REFRESH_SECONDS = 0.05
_ASK_SECONDS = 1.0
"""The most that one node is waited for when it is asked for the topology: another may answer at once."""

_SHORTEST = 0.001
"""Seconds that are waited at least: to a socket, none at all means for ever."""

Group = tuple[Pool, list[CallState]]


def left(end: float, most: float) -> float:
    """Seconds until a moment, and no more than so many."""
    return max(_SHORTEST, min(most, end - monotonic()))


class Router(Protocol):
    """Where calls go."""

    publish: str
    timeout: float

    def route(self, keys: tuple[str, ...], /) -> Pool:
        """Return the connections to the server that has the keys."""
        ...

    def group_by_node(self, states: Sequence[CallState], end: float, /) -> Iterable[Group]:
        """Return calls by the server that each goes to; if that has to be asked for, wait no longer than to the end."""
        ...

    def subscribe(self) -> Notifier:
        """Return where notices arrive; each call is matched by one of ``unsubscribe``."""
        ...

    def unsubscribe(self) -> None:
        """Release what ``subscribe`` returned; wait until its connections have ended."""
        ...

    def close(self) -> None:
        """Finish what is in flight and close all connections."""
        ...


class ServerRouter:
    """One server, or whichever is the primary of a Sentinel service."""

    publish = "PUBLISH"

    def __init__(self, dialer: Dialer, options: Options) -> None:
        self._pool = Pool(dialer, options.max_connections)
        self.timeout = dialer.timeout
        handshake(self._pool, options, next(scratch_keys(options.prefix)), self.publish)

    def __repr__(self) -> str:
        return repr(self._pool.dialer)

    def route(self, _keys: tuple[str, ...], /) -> Pool:
        """Return the connections to the server."""
        return self._pool

    def group_by_node(self, states: Sequence[CallState], _end: float, /) -> Iterable[Group]:
        """All calls go to the one server."""
        return [(self._pool, settle_redirected(states, self._pool.dialer.where))]

    def subscribe(self) -> Notifier:
        """Return the subscriber of the background loop for the server."""
        return subscriber(self._pool.dialer, BACKGROUND)

    def unsubscribe(self) -> None:
        """Release the subscriber; wait until its connection has ended."""
        last = release_subscriber(self._pool.dialer, BACKGROUND)
        if last is not None:
            last.join()

    def close(self) -> None:
        """Finish what is in flight and close all connections."""
        self._pool.close()


def handshake(pool: Pool, options: Options, scratch: str, publish: str) -> int:
    """Look at a server, and return its major version."""
    connection = pool.take()
    try:
        version = read_handshake(connection.ask_many(handshake_commands(scratch, publish)), pool.dialer.where, options)
    except BaseException as error:
        pool.drop(connection)
        if isinstance(error, LOST):
            refuse(error, pool.dialer.where)
        raise
    pool.give(connection)
    return version


class ClusterRouter:
    """The primaries of a cluster, found through any of its nodes, and found again when they change."""

    def __init__(self, dialer: Dialer, seeds: Sequence[Address], options: Options) -> None:
        self._dialer = dialer
        self._seeds = list(seeds)
        self._limit = options.max_connections
        self._nodes: dict[Address, Pool] = {}
        self._slots = SlotMap(dialer.remap)
        self._refreshing = ForkSafeLock()
        self._refreshed = -_REFRESH_SECONDS
        self.timeout = dialer.timeout
        try:
            # Sharded channels stay within the shard; before 7.0 every node is told.
            self._sharded = self._oldest(options) >= 7
        except BaseException:
            self.close()
            raise
        self.publish = "SPUBLISH" if self._sharded else "PUBLISH"

    def __repr__(self) -> str:
        return f"the cluster of {', '.join(f'{host}:{port}' for host, port in self._slots.primaries)}"

    def _oldest(self, options: Options) -> int:
        """Find the primaries, look at them, and return the lowest version; those that are down are passed over."""
        troubles, versions = self.refresh(), list[int]()
        for address in self._slots.primaries:
            try:
                own = self._slots.first_at(address, scratch_keys(options.prefix))
                versions.append(handshake(self._pool(address), options, own, "SPUBLISH"))
            except Unavailable as error:
                troubles.append(error)
        if not versions:
            raise nobody_answers(self._seeds, troubles)
        return min(versions)

    def _pool(self, address: Address) -> Pool:
        pool = self._nodes.get(address)
        if pool is None:
            pool = self._nodes.setdefault(address, Pool(self._dialer.elsewhere(*address), self._limit))
        return pool

    def route(self, keys: tuple[str, ...], /) -> Pool:
        """Return the connections to the primary that has the keys, or to any node, which will know."""
        return self._pool((self._slots.owner(keys[0]) if keys else None) or self._any())

    def _any(self) -> Address:
        return (self._slots.primaries or self._seeds)[0]

    def owner(self, key: str) -> Dialer:
        """Return a dialer to the primary that has a key."""
        return self._dialer.elsewhere(*(self._slots.owner(key) or self._any()))

    def group_by_node(self, states: Sequence[CallState], end: float, /) -> Iterable[Group]:
        """Return calls by node, once what was learnt of the topology is taken in."""
        sent_to = [
            self._slots.sent_to(state.keys[0], state.sent_to, once=state.asking) if state.sent_to else None
            for state in states
        ]
        if any(state.topology_changed for state in states):
            self.refresh(end)
        group_by_node: dict[int, Group] = {}
        for state, address in zip(states, sent_to, strict=True):
            pool = self._pool(address) if address else self.route(state.keys)
            group_by_node.setdefault(id(pool), (pool, []))[1].append(state)
        return group_by_node.values()

    def refresh(self, end: float = math.inf) -> list[CoordError]:
        """Ask the nodes in turn which slots are where, until one answers or it is time; at most every few milliseconds.

        Returns what was wrong with those that did not.
        """
        troubles: list[CoordError] = []
        refreshing = self._refreshing.lock
        if not refreshing.acquire(timeout=left(end, threading.TIMEOUT_MAX)):
            return troubles
        try:
            if monotonic() - self._refreshed < _REFRESH_SECONDS:
                return troubles
            known = list(dict.fromkeys((*self._slots.primaries, *self._nodes, *self._seeds)))
            # In any order: a node that is cut off from the others would tell what was once so, again and again.
            for address in random.sample(known, len(known)):
                trouble = self._ask(address, left(end, min(self.timeout, _ASK_SECONDS)))
                if trouble is None or monotonic() >= end:
                    break
                troubles.append(trouble)
            self._refreshed = monotonic()
        finally:
            refreshing.release()
        return troubles

    def _ask(self, address: Address, within: float) -> CoordError | None:
        """Ask one node; return what is wrong with it."""
        pool = self._pool(address)
        try:
            connection = pool.take(within)
        except CoordError as error:
            return error
        try:
            connection.limit(within)
            reply = connection.ask(("CLUSTER", "SLOTS"))
        except LOST as error:
            pool.drop(connection)
            return could_not_connect(error, pool.dialer.where)
        connection.limit(self.timeout)
        pool.give(connection)
        return self._slots.read(reply, address)

    def subscribe(self) -> Notifier:
        """Return where the notices of all nodes arrive."""
        self._subscriber = ClusterSubscriber(self, BACKGROUND, sharded=self._sharded)
        return self._subscriber

    def unsubscribe(self) -> None:
        """End the subscriptions, and wait until their connections have ended."""
        for closed in self._subscriber.close():
            closed.join()

    def close(self) -> None:
        """Finish what is in flight and close all connections."""
        for pool in list(self._nodes.values()):
            pool.close()
