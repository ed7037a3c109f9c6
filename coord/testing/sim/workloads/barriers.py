"""Barriers: complete for exactly one, told to everybody who waits."""

from __future__ import annotations

from coord.barriers import BarrierStatus
from coord.errors import MissingBarrier
from coord.testing.sim.world import Client, Sim

__all__ = ["arrivals", "watchers"]


async def arrivals(sim: Sim) -> None:
    """Members arrive, several times each; one of them completes the barrier, and every wait ends."""
    parties, rounds = 3, 2
    completed: dict[int, list[str]] = {number: [] for number in range(rounds)}
    unsure: set[int] = set()

    async def work(client: Client) -> None:
        for step in client.steps(rounds):
            barrier = client.c.barrier(f"gate-{step.number}")
            for _ in range(step.random.choice((1, 2))):
                while True:
                    got = await client.attempt(lambda: barrier.arrive(client.name))  # noqa: B023  # awaited within the step
                    if got.is_done:
                        break
                    if not got.is_known:
                        unsure.add(step.number)
                    await client.sleep(0.1)
                if got.value is not None and got.value.completed:
                    completed[step.number].append(client.name)
                    sim.check(len(completed[step.number]) == 1, f"completed for {completed[step.number]}")
            await _wait(client, f"gate-{step.number}")

    async def open_all(client: Client) -> None:
        for number in range(rounds):
            await client.c.barrier(f"gate-{number}").open(parties=parties)

    async def see(client: Client) -> None:
        for number in range(rounds):
            status = await client.c.barrier(f"gate-{number}").status()
            whole = status is not None and status.state == "complete"
            told = bool(completed[number]) or number in unsure or bool(sim.deaths)
            sim.check(not whole or told, f"gate-{number} is complete, and nobody was told")

    await sim.prepare(open_all)
    await sim.run(work, clients=parties)
    await sim.look(see)


async def _wait(client: Client, name: str) -> None:
    """Wait for a barrier, which is complete or waits for a client that has died."""
    while True:
        got = await client.attempt(lambda: client.c.barrier(name).wait(timeout=5))
        if got.is_done:
            status = got.value
            client.sim.check(status is not None and status.state == "complete", f"the wait for {name} ended: {status}")
            return
        if client.sim.deaths:
            return


async def watchers(sim: Sim) -> None:
    """All watch the barrier; of all callbacks, one runs."""
    called: list[str] = []

    async def work(client: Client) -> None:
        barrier = client.c.barrier("gate")

        def on_complete(status: BarrierStatus) -> None:
            called.append(client.name)
            sim.check(len(called) == 1, f"called back: {called}")

        while True:
            try:
                if (await client.attempt(lambda: barrier.watch(on_complete=on_complete))).is_done:
                    break
            except MissingBarrier:
                sim.check(condition=False, message="the barrier was opened, and is missing")
            await client.sleep(0.1)
        for step in client.steps(1):
            await client.sleep(step.random.uniform(0, 0.5))
            while not (await client.attempt(lambda: barrier.arrive(client.name))).is_done:
                await client.sleep(0.1)
        await client.sleep(120.0)

    async def open_it(client: Client) -> None:
        await client.c.barrier("gate").open(parties=3, ttl=600)

    await sim.prepare(open_it)
    await sim.run(work, clients=3)
    arrived = sum(step.startswith("step/") and step not in sim.skipped for step in sim.used_steps)
    sim.check(called or sim.deaths or arrived < 3, "all have arrived, and nobody was called back")
