"""Leases, holds and windows: never two holders, growing fences, nothing left behind."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from coord.leases import AsyncLease
from coord.testing.sim.world import Client, Sim, Step

__all__ = ["ghosts", "handovers", "leases", "windows"]


@dataclass
class _Entry:
    """A lease that was handed out: when it was asked for and given, and whether its holder has let it go."""

    client: Client
    lease: AsyncLease
    asked: float
    given: float
    over: bool = False


class _Ledger:
    """All leases of a run, by name; each new one is compared with those before."""

    def __init__(self, sim: Sim) -> None:
        self._sim = sim
        self._entries: dict[str, list[_Entry]] = defaultdict(list)

    def grant(self, client: Client, lease: AsyncLease, asked: float) -> _Entry:
        """Note a lease, and check it against all others of its name."""
        sim, entry = self._sim, _Entry(client, lease, asked, self._sim.now)
        for other in self._entries[lease.name]:
            if other.lease.fence == lease.fence:
                continue
            if other.given < asked:
                sim.check(
                    lease.fence > other.lease.fence, f"the fence of {lease!r} is not above that of {other.lease!r}"
                )
            sim.check(
                sim.clocks_jumped or other.over or lease.expires_in <= 0 or other.lease.expires_in <= 0,
                f"two hold {lease.name!r}: {lease!r} and {other.lease!r}",
            )
        self._entries[lease.name].append(entry)
        return entry


async def leases(sim: Sim) -> None:
    """Clients claim, hold, renew, lose and release two names."""
    ledger = _Ledger(sim)

    async def claim(client: Client, step: Step, name: str, ttl: float) -> None:
        asked = sim.now
        got = await client.attempt(lambda: client.c.claim(name, ttl=ttl))
        lease = got.value
        if lease is None:
            return
        entry = ledger.grant(client, lease, asked)
        if step.random.random() < 0.3:
            await _until_lost(client, lease)
        else:
            await client.sleep(step.random.uniform(0, 0.8 * ttl))
            renewed = await client.attempt(lease.renew)
            if renewed.value is False:
                sim.check(lease.lost.is_set(), f"{lease!r} could not be renewed, and its loss is not told")
            await client.sleep(step.random.uniform(0, 0.8 * ttl))
        entry.over = True
        await client.attempt(lease.release)

    async def hold(client: Client, step: Step, name: str, ttl: float) -> None:
        async def block() -> None:
            asked = sim.now
            async with client.c.hold(name, ttl=ttl, wait=step.random.choice((0.5, 5.0))) as lease:
                entry = ledger.grant(client, lease, asked)
                try:
                    await client.sleep(step.random.uniform(0, 1.5 * ttl))
                finally:
                    entry.over = True

        await client.attempt(block)

    async def work(client: Client) -> None:
        for step in client.steps(5):
            name, ttl = step.random.choice("ab"), step.random.choice((1.0, 2.0, 4.0))
            await (claim if step.random.random() < 0.5 else hold)(client, step, name, ttl)
            await client.sleep(step.random.uniform(0, 0.3))

    await sim.run(work, clients=3)


async def _until_lost(client: Client, lease: AsyncLease) -> None:
    began = client.sim.now
    until = began + lease.expires_in
    await lease.lost.wait()
    client.sim.check(
        client.sim.now <= until + 0.05 or client.has_paused_since(began),
        f"the loss of {lease!r} was told {client.sim.now - until:.3f} s late",
    )


async def ghosts(sim: Sim) -> None:
    """Long claims that are cancelled, fail or are released: none is left once its taking back had its time."""
    names = [f"ghost-{number}" for number in range(3)]

    async def work(client: Client) -> None:
        for step in client.steps(5):
            name = step.random.choice(names)
            if step.random.random() < 0.5:
                got = await client.attempt(lambda name=name: client.c.claim(name, ttl=900))  # type: ignore[misc]  # bound per step
                if got.value is not None:
                    await client.sleep(step.random.uniform(0, 0.2))
                    await _release(client, got.value)
            else:
                await client.attempt(lambda name=name, step=step: _brief(client, step, name))  # type: ignore[misc]  # bound per step

    async def see(client: Client) -> None:
        for name in names:
            holder = await client.c.holder(name)
            sim.check(holder is None or sim.deaths, f"{name!r} is held by {holder}, and everybody has let go")

    await sim.run(work, clients=3)
    await sim.look(see)


async def _brief(client: Client, step: Step, name: str) -> None:
    async with client.c.hold(name, ttl=900, wait=3):
        await client.sleep(step.random.uniform(0, 0.2))


async def _release(client: Client, lease: Any) -> None:
    """Release until it is known to be done."""
    while not (await client.attempt(lease.release)).is_done:
        await client.sleep(0.2)


async def windows(sim: Sim) -> None:
    """``once`` is True for one caller per window; ``forget`` opens it again."""
    ttl = 3.0
    shared: list[tuple[float, float]] = []
    asked: list[bool] = []

    async def work(client: Client) -> None:
        for step in client.steps(4):
            began = sim.now
            got = await client.attempt(lambda: client.c.once("shared", ttl=ttl))
            asked.append(got.is_known and got.error is None)
            if got.value:
                for other_began, other_ended in shared:
                    apart = max(sim.now - other_began, other_ended - began)
                    sim.check(sim.clocks_jumped or apart >= ttl - 0.01, f"two are first within {apart:.3f} s")
                shared.append((began, sim.now))
            await _own_window(client, step)
            await client.sleep(step.random.choice((0.0, 0.1, 1.0)))

    await sim.run(work, clients=3)
    sim.check(shared or not all(asked) or not asked or sim.deaths, "nobody was first, and everybody was answered")


async def _own_window(client: Client, step: Step) -> None:
    """A window that nobody else knows: what it answers is known, as long as every outcome is."""
    name, sim = f"{client.name}-{step.number}", client.sim
    first = await client.attempt(lambda: client.c.once(name, ttl=600))
    if not first.is_done:
        return
    sim.check(first.value, f"the first caller of {name!r} is not the first")
    again = await client.attempt(lambda: client.c.once(name, ttl=600))
    sim.check(not again.is_done or not again.value, f"the second caller of {name!r} is the first as well")
    if not again.is_known or not hasattr(client.c, "forget"):
        return
    forgotten = await client.attempt(lambda: client.c.forget(name))
    if forgotten.is_done:
        sim.check(forgotten.value, f"forgetting {name!r} says that there was no window")
        anew = await client.attempt(lambda: client.c.once(name, ttl=600))
        sim.check(not anew.is_done or anew.value, f"the window of {name!r} was opened and is shut")


async def handovers(sim: Sim) -> None:
    """One who waits for a name gets it as soon as it is let go, while nothing is wrong with the network."""
    freed = 0.0

    async def work(client: Client) -> None:
        nonlocal freed
        for step in client.steps(3):
            async with client.c.hold("baton", ttl=30):
                waited = sim.now - max(freed, began_of.get(client.name, 0.0))
                sim.check(
                    not freed or waited < 0.6 or sim.plan.fired,
                    f"{client.name} was woken {waited:.3f} s after the release",
                )
                await client.sleep(step.random.uniform(0.0, 0.05))
            freed = sim.now
            began_of[client.name] = sim.now

    began_of: dict[str, float] = {}
    sim.plan.calm = True
    await sim.run(work, clients=4)
