"""The backend on servers: Redis 6.2 and newer, Valkey 8 and newer."""

from __future__ import annotations

from typing import Any

from coord.options import Options
from coord.redis.asyncrouter import AsyncClusterRouter, AsyncRouter, AsyncServerRouter
from coord.redis.awaited import AsyncRedis
from coord.redis.blocking import Redis
from coord.redis.dialing import Dialer, cluster_from_client, cluster_from_url, from_client, from_url, is_cluster
from coord.redis.router import ClusterRouter, Router, ServerRouter
from coord.redis.topology import Address

__all__ = ["AsyncRedis", "Options", "Redis", "connect", "connect_async"]


def connect(url: str, client: Any, options: Options) -> Redis:
    """Connect to a server or a cluster, by URL or with the settings of a client."""
    dialer, seeds = _dialer(url, client, options, asynchronous=False)
    router: Router = ClusterRouter(dialer, seeds, options) if seeds else ServerRouter(dialer, options)
    return Redis(router, options)


async def connect_async(url: str, client: Any, options: Options) -> AsyncRedis:
    """Connect to a server or a cluster, by URL or with the settings of a client."""
    dialer, seeds = _dialer(url, client, options, asynchronous=True)
    router: AsyncRouter = AsyncClusterRouter(dialer, seeds, options) if seeds else AsyncServerRouter(dialer, options)
    try:
        await router.open()
    except BaseException:
        await router.close()
        raise
    return AsyncRedis(router, options)


def _dialer(url: str, client: Any, options: Options, *, asynchronous: bool) -> tuple[Dialer, list[Address]]:
    """How to connect, and the nodes of a cluster to begin with; none for a single server."""
    if client is not None:
        if is_cluster(client, asynchronous=asynchronous):
            return cluster_from_client(client, options, asynchronous=asynchronous)
        return from_client(client, options, asynchronous=asynchronous), []
    if url.partition("://")[0].endswith("+cluster"):
        return cluster_from_url(url, options, asynchronous=asynchronous)
    return from_url(url, options, asynchronous=asynchronous), []
