"""Where a blocking runner sends its calls: to one server, or to the nodes of a cluster."""

from __future__ import annotations

import math
import random
import threading
from collections.abc import Iterable, Sequence
from time import monotonic
from typing import Protocol

from coord.errors import CoordError, Unavailable
from coord.forks import Guard
from coord.notices import Notices
from coord.redis.clusterhub import ClusterHub
from coord.redis.dialing import LOST, Dialer
from coord.redis.hub import hub, leave_hub
from coord.redis.links import Links
from coord.redis.options import Options
from coord.redis.outcome import Attempts, could_not_connect, of_one_server, refuse
from coord.redis.survey import questions, scratch_keys, survey
from coord.redis.topology import Address, SlotMap, nobody_answers

__all__ = ["Cluster", "Server", "Servers", "left"]

_REFRESH_SECONDS = 0.05
_ASK_SECONDS = 1.0
"""The most that one node is waited for when it is asked for the topology: another may answer at once."""

_SHORTEST = 0.001
"""Seconds that are waited at least: to a socket, none at all means for ever."""

Group = tuple[Links, list[Attempts]]


def left(end: float, most: float) -> float:
    """Seconds until a moment, and no more than so many."""
    return max(_SHORTEST, min(most, end - monotonic()))


class Servers(Protocol):
    """Where calls go."""

    publish: str
    timeout: float

    def route(self, keys: tuple[str, ...], /) -> Links:
        """Return the connections to the server that has the keys."""
        ...

    def groups(self, stories: Sequence[Attempts], end: float, /) -> Iterable[Group]:
        """Return calls by the server that each goes to; if that has to be asked for, wait no longer than to the end."""
        ...

    def listen(self) -> Notices:
        """Return where notices arrive; each call is matched by one of ``deafen``."""
        ...

    def deafen(self) -> list[threading.Thread]:
        """Give the notices back; return the threads that are ending."""
        ...

    def close(self) -> None:
        """Finish what is in flight and close all connections."""
        ...


class Server:
    """One server, or whichever is the primary of a Sentinel service."""

    publish = "PUBLISH"

    def __init__(self, dialer: Dialer, options: Options) -> None:
        self._links = Links(dialer, options.max_connections)
        self.timeout = dialer.timeout
        surveyed(self._links, options, next(scratch_keys(options.prefix)), self.publish)

    def __repr__(self) -> str:
        return repr(self._links.dialer)

    def route(self, _keys: tuple[str, ...], /) -> Links:
        """Return the connections to the server."""
        return self._links

    def groups(self, stories: Sequence[Attempts], _end: float, /) -> Iterable[Group]:
        """All calls go to the one server."""
        return [(self._links, of_one_server(stories, self._links.dialer.where))]

    def listen(self) -> Notices:
        """Return this process's hub for the server."""
        return hub(self._links.dialer)

    def deafen(self) -> list[threading.Thread]:
        """Give the hub back."""
        ending = leave_hub(self._links.dialer)
        return [ending] if ending is not None else []

    def close(self) -> None:
        """Finish what is in flight and close all connections."""
        self._links.close()


def surveyed(links: Links, options: Options, scratch: str, publish: str) -> int:
    """Look at a server, and return its major version."""
    link = links.take()
    try:
        version = survey(link.ask_many(questions(scratch, publish)), links.dialer.where, options)
    except BaseException as error:
        links.drop(link)
        if isinstance(error, LOST):
            refuse(error, links.dialer.where)
        raise
    links.give(link)
    return version


class Cluster:
    """The primaries of a cluster, found through any of its nodes, and found again when they change."""

    def __init__(self, dialer: Dialer, seeds: Sequence[Address], options: Options) -> None:
        self._dialer = dialer
        self._seeds = list(seeds)
        self._limit = options.max_connections
        self._nodes: dict[Address, Links] = {}
        self._slots = SlotMap(dialer.remap)
        self._refreshing = Guard()
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
                versions.append(surveyed(self._links(address), options, own, "SPUBLISH"))
            except Unavailable as error:
                troubles.append(error)
        if not versions:
            raise nobody_answers(self._seeds, troubles)
        return min(versions)

    def _links(self, address: Address) -> Links:
        links = self._nodes.get(address)
        if links is None:
            links = self._nodes.setdefault(address, Links(self._dialer.elsewhere(*address), self._limit))
        return links

    def route(self, keys: tuple[str, ...], /) -> Links:
        """Return the connections to the primary that has the keys, or to any node, which will know."""
        return self._links((self._slots.owner(keys[0]) if keys else None) or self._any())

    def _any(self) -> Address:
        return (self._slots.primaries or self._seeds)[0]

    def owner(self, key: str) -> Dialer:
        """Return a dialer to the primary that has a key."""
        return self._dialer.elsewhere(*(self._slots.owner(key) or self._any()))

    def groups(self, stories: Sequence[Attempts], end: float, /) -> Iterable[Group]:
        """Return calls by node, once what was learnt of the topology is taken in."""
        sent_to = [
            self._slots.sent_to(story.keys[0], story.sent_to, once=story.asking) if story.sent_to else None
            for story in stories
        ]
        if any(story.stray for story in stories):
            self.refresh(end)
        groups: dict[int, Group] = {}
        for story, address in zip(stories, sent_to, strict=True):
            links = self._links(address) if address else self.route(story.keys)
            groups.setdefault(id(links), (links, []))[1].append(story)
        return groups.values()

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
        links = self._links(address)
        try:
            link = links.take(within)
        except CoordError as error:
            return error
        try:
            link.limit(within)
            reply = link.ask(("CLUSTER", "SLOTS"))
        except LOST as error:
            links.drop(link)
            return could_not_connect(error, links.dialer.where)
        link.limit(self.timeout)
        links.give(link)
        return self._slots.read(reply, address)

    def listen(self) -> Notices:
        """Return where the notices of all nodes arrive."""
        self._hub = ClusterHub(self, sharded=self._sharded)
        return self._hub

    def deafen(self) -> list[threading.Thread]:
        """End the subscriptions."""
        return self._hub.close()

    def close(self) -> None:
        """Finish what is in flight and close all connections."""
        for links in list(self._nodes.values()):
            links.close()
