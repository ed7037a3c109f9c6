"""The backend on servers: Redis 6.2 and newer, Valkey 8 and newer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from coord.loops import BACKGROUND, Home, RunningLoop
from coord.options import Options
from coord.redis.awaited import AsyncRedis, open_runner
from coord.redis.blocking import Redis
from coord.redis.dialing import Dialer, cluster_from_client, cluster_from_url, from_client, from_url, is_cluster
from coord.redis.node import Node
from coord.redis.pool import Pool
from coord.redis.router import ClusterRouter, Router, ServerRouter
from coord.redis.steps import Node as AnyNode
from coord.redis.topology import Address

__all__ = ["AsyncRedis", "Options", "Redis", "connect", "connect_async"]

N = TypeVar("N", bound=AnyNode)


def connect(url: str, client: Any, options: Options) -> Redis:
    """Connect to a server or a cluster, by URL or with the settings of a client."""
    dialer, seeds = _dialer(url, client, options, asynchronous=False)

    def awaited() -> AsyncRedis | None:
        to = dialer.awaited()
        # Without a handshake: the blocking connections have made it.
        return None if to is None else AsyncRedis(_router(to, seeds, options, Node, RunningLoop()), options)

    router = _router(dialer, seeds, options, lambda to: Pool(to, options.max_connections), BACKGROUND)
    return Redis(router, options, awaited)


async def connect_async(url: str, client: Any, options: Options) -> AsyncRedis:
    """Connect to a server or a cluster, by URL or with the settings of a client."""
    dialer, seeds = _dialer(url, client, options, asynchronous=True)
    return await open_runner(_router(dialer, seeds, options, Node, RunningLoop()), options)


def _router(
    dialer: Dialer, seeds: list[Address], options: Options, new_node: Callable[[Dialer], N], home: Home
) -> Router[N]:
    if seeds:
        return ClusterRouter(dialer, seeds, options, new_node, home)
    return ServerRouter(dialer, options, new_node, home)


def _dialer(url: str, client: Any, options: Options, *, asynchronous: bool) -> tuple[Dialer, list[Address]]:
    """Return how to connect, and the nodes of a cluster to begin with; none for a single server."""
    if client is not None:
        if is_cluster(client, asynchronous=asynchronous):
            return cluster_from_client(client, options, asynchronous=asynchronous)
        return from_client(client, options, asynchronous=asynchronous), []
    if url.partition("://")[0].endswith("+cluster"):
        return cluster_from_url(url, options, asynchronous=asynchronous)
    return from_url(url, options, asynchronous=asynchronous), []
