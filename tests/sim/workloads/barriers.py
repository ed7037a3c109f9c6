"""Barriers: complete for exactly one, and every waiter learns it."""

from __future__ import annotations

from coord.barriers import BarrierStatus
from coord.errors import MissingBarrier
from coord.testing.sim import Client, Sim

__all__ = ["aborts", "arrivals", "watchers"]


class _Arrivals:
    """Members arrive, some twice; one of them completes the barrier, and every wait ends."""

    parties, rounds = 3, 2

    def __init__(self, sim: Sim) -> None:
        self._sim = sim
        self._completed: dict[int, list[str]] = {number: [] for number in range(self.rounds)}
        self._unsure: set[int] = set()

    async def open(self, client: Client) -> None:
        for number in range(self.rounds):
            await client.c.barrier(f"gate-{number}").open(parties=self.parties)

    async def work(self, client: Client) -> None:
        for step in client.steps(self.rounds):
            for _ in range(step.random.choice((1, 2))):
                await self._arrive(client, step.number)
            await self._wait(client, f"gate-{step.number}")

    async def _arrive(self, client: Client, number: int) -> None:
        barrier = client.c.barrier(f"gate-{number}")
        while not (got := await client.attempt(barrier.arrive, client.name)).is_done:
            if isinstance(got.error, MissingBarrier):
                return
            if not got.is_known:
                self._unsure.add(number)
            await client.sleep(0.1)
        if got.value is not None and got.value.completed:
            told = self._completed[number]
            told.append(client.name)
            self._sim.check(len(told) == 1 or self._sim.topology.lost_writes, f"completed for {told}")

    async def _wait(self, client: Client, name: str) -> None:
        """Wait for a barrier, which is complete or waits for a client that has died."""
        while not (got := await client.attempt(client.c.barrier(name).wait, timeout=5)).is_done:
            if self._sim.deaths or self._sim.topology.lost_writes:
                return
        status = got.value
        self._sim.check(status is not None and status.state == "complete", f"the wait for {name} ended: {status}")

    async def see(self, client: Client) -> None:
        for number in range(self.rounds):
            status = await client.c.barrier(f"gate-{number}").status()
            whole = status is not None and status.state == "complete"
            told = self._completed[number] or number in self._unsure or self._sim.deaths
            self._sim.check(not whole or told, f"gate-{number} is complete, and no waiter learned it")


async def arrivals(sim: Sim) -> None:
    """Members arrive, some twice; one of them completes the barrier, and every wait ends."""
    them = _Arrivals(sim)
    await sim.prepare(them.open)
    await sim.run(them.work, clients=them.parties)
    await sim.look(them.see)


class _Watchers:
    """All watch the barrier; of all callbacks, one runs."""

    def __init__(self, sim: Sim) -> None:
        self._sim = sim
        self.called: list[str] = []
        self.arrived = 0

    async def open(self, client: Client) -> None:
        await client.c.barrier("gate").open(parties=3, ttl=600)

    async def work(self, client: Client) -> None:
        barrier = client.c.barrier("gate")

        def on_complete(_: BarrierStatus) -> None:
            self.called.append(client.name)
            once = len(self.called) == 1 or self._sim.topology.lost_writes
            self._sim.check(once, f"called back: {self.called}")

        await client.surely(barrier.watch, on_complete=on_complete)
        for step in client.steps(1):
            await client.sleep(step.random.uniform(0, 0.5))
            await client.surely(barrier.arrive, client.name)
            self.arrived += 1
        await client.sleep(120.0)


async def watchers(sim: Sim) -> None:
    """All watch the barrier; of all callbacks, one runs."""
    them = _Watchers(sim)
    await sim.prepare(them.open)
    await sim.run(them.work, clients=3)
    excused = sim.deaths or them.arrived < 3 or sim.topology.lost_writes
    sim.check(them.called or excused, "all have arrived, and nobody was called back")


class _Aborts:
    """Some arrive, all abort: one of them ends the attempt, or it was complete before; nobody arrives afterwards."""

    rounds = 3

    def __init__(self, sim: Sim) -> None:
        self._sim = sim
        self._ended: dict[int, list[str]] = {number: [] for number in range(self.rounds)}

    async def open(self, client: Client) -> None:
        for number in range(self.rounds):
            await client.c.barrier(f"gate-{number}").open(parties=2)

    async def work(self, client: Client) -> None:
        for step in client.steps(self.rounds):
            barrier = client.c.barrier(f"gate-{step.number}")
            if step.random.random() < 0.7:
                arrival = (await client.attempt(barrier.arrive, client.name)).value
                self._end(step.number, f"{client.name} arrived", arrival is not None and arrival.completed)
            await client.sleep(step.random.choice((0.0, 0.01, 0.3)))
            aborted = await client.attempt(barrier.abort, f"by {client.name}")
            self._end(step.number, f"{client.name} aborted", bool(aborted.value))
            if not aborted.is_done or self._sim.topology.lost_writes:
                continue
            late = (await client.attempt(barrier.arrive, f"late {client.name}")).value
            counted = late is not None and late.counted and not self._sim.topology.lost_writes
            self._sim.check(not counted, f"{client.name} has aborted gate-{step.number}, and an arrival counts")

    def _end(self, number: int, how: str, ended: bool) -> None:
        if ended:
            told = self._ended[number]
            told.append(how)
            self._sim.check(len(told) == 1 or self._sim.topology.lost_writes, f"gate-{number} ended twice: {told}")

    async def see(self, client: Client) -> None:
        for number, told in self._ended.items():
            status = await client.c.barrier(f"gate-{number}").status()
            if told and not self._sim.topology.lost_writes:
                state = "aborted" if told[0].endswith("aborted") else "complete"
                right = status is not None and status.state == state
                self._sim.check(right, f"gate-{number}: {told}, and now {status}")


async def aborts(sim: Sim) -> None:
    """Some arrive, all abort: one of them ends the attempt, or it was complete before; nobody arrives afterwards."""
    them = _Aborts(sim)
    await sim.prepare(them.open)
    await sim.run(them.work, clients=3)
    await sim.look(them.see)
