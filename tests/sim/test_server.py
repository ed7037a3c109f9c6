"""The simulated server, spoken to by redis-py's own asyncio client."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import redis.asyncio
import redis.exceptions
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

import coord
from coord.claims import CLAIM
from coord.testing.sim import Client, Faults, Sim, simulate


def run(work: Callable[[redis.asyncio.Redis], Awaitable[None]], topology: str = "standalone") -> None:
    """Run something with a client of redis-py, in a simulation without faults."""

    async def workload(sim: Sim) -> None:
        async def with_client(_: Client) -> None:
            client = redis.asyncio.Redis(host="sim", protocol=2, decode_responses=True)
            try:
                await work(client)
            finally:
                await client.aclose()

        await sim.run(with_client)

    simulate(workload, 1, faults=Faults.none(), topology=topology, shrink=False)


def test_a_script_runs_once_it_is_loaded() -> None:
    async def work(client: redis.asyncio.Redis) -> None:
        claim = "coord:claim:{a}"
        keys = (claim, f"{claim}:tombstone:n", f"{claim}:answered:n")
        arguments: Any = (CLAIM.sha, len(keys), *keys, "me", "n", 1000, 60_000, "0", "none")
        await client.script_flush()
        with pytest.raises(redis.exceptions.NoScriptError):
            await client.evalsha(*arguments)
        assert await client.script_load(CLAIM.source) == CLAIM.sha
        assert await client.script_exists(CLAIM.sha) == [True]
        granted, nonce, fence, left = await client.evalsha(*arguments)
        assert (granted, nonce, left) == (1, "n", 1000)
        assert int(fence) > 0

    run(work)


def test_a_key_expires_in_the_servers_time() -> None:
    async def workload(sim: Sim) -> None:
        async def work(client: Client) -> None:
            assert await client.c.claim("job", ttl=5, owner="a") is not None
            await client.sleep(4.9)
            assert await client.c.claim("job", ttl=5, owner="b") is None
            sim.topology.servers[0].offset_us += 200_000
            assert await client.c.claim("job", ttl=5, owner="b") is not None

        await sim.run(work)

    simulate(workload, 1, faults=Faults.none())


def test_what_is_published_reaches_who_subscribed() -> None:
    async def work(client: redis.asyncio.Redis) -> None:
        channels = client.pubsub()
        await channels.subscribe("news", "other")
        confirmed = [await channels.get_message(timeout=1) for _ in range(2)]
        assert [each and each["channel"] for each in confirmed] == ["news", "other"]
        assert await client.publish("news", "hello") == 1
        message = await channels.get_message(ignore_subscribe_messages=True, timeout=1)
        assert message is not None
        assert (message["channel"], message["data"]) == ("news", "hello")
        await channels.unsubscribe("news")
        await asyncio.sleep(0.1)
        assert await client.publish("news", "hello") == 0
        await channels.aclose()

    run(work)


def test_refusals_read_as_those_of_redis() -> None:
    async def workload(sim: Sim) -> None:
        async def work(client: Client) -> None:
            (server,) = sim.topology.servers
            plain = redis.asyncio.Redis(host="sim", protocol=2, retry=Retry(NoBackoff(), 0))
            await plain.ping()
            server.busy_until = sim.loop.now + 1
            with pytest.raises(redis.exceptions.ResponseError, match="BUSY"):
                await plain.ping()
            await client.sleep(1)
            server.loading_until = sim.loop.now + 1
            with pytest.raises(redis.exceptions.BusyLoadingError):
                await plain.info()
            await client.sleep(1)
            await plain.script_load(CLAIM.source)
            server.readonly = True
            with pytest.raises(redis.exceptions.ReadOnlyError):
                await plain.evalsha(CLAIM.sha, 2, "a", "b", "me", "n", "1")  # type: ignore[misc]  # redis-py's stubs
            server.readonly = False
            await plain.aclose()

        await sim.run(work)

    simulate(workload, 1, faults=Faults.none())


def test_a_value_of_another_kind_is_an_error_reply() -> None:
    async def workload(sim: Sim) -> None:
        async def work(client: Client) -> None:
            await client.c.kv.rpush("list", "x", ttl=60)
            with pytest.raises(coord.WrongType):
                await client.c.kv.incr("list", ttl=60)

        await sim.run(work)

    simulate(workload, 1, faults=Faults.none())
