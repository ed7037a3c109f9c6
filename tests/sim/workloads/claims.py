"""Leases, holds and windows: never two holders, growing fences, nothing left behind."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from coord.errors import OutcomeUnknown, Unavailable
from coord.leases import AsyncLease
from coord.testing.sim import Client, Sim, Step

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
        entry = _Entry(client, lease, asked, self._sim.now)
        for other in self._entries[lease.name]:
            if other.lease.fence != lease.fence:
                self._compare(entry, other)
        self._entries[lease.name].append(entry)
        return entry

    def _compare(self, entry: _Entry, other: _Entry) -> None:
        sim, lease, older = self._sim, entry.lease, other.lease
        if other.given < entry.asked and not sim.topology.lost_writes:
            sim.check(lease.fence > older.fence, f"the fence of {lease!r} is not above that of {older!r}")
        both = lease.expires_in > 0 and older.expires_in > 0 and not other.over
        sim.check(not both or sim.leases_may_end_early, f"two hold {lease.name!r}: {lease!r} and {older!r}")


class _Leases:
    """Clients claim, hold, renew, lose and release two names."""

    def __init__(self, sim: Sim) -> None:
        self._sim = sim
        self._ledger = _Ledger(sim)

    async def work(self, client: Client) -> None:
        for step in client.steps(5):
            name, ttl = step.random.choice("ab"), step.random.choice((1.0, 2.0, 4.0))
            if step.random.random() < 0.5:
                await self._claim(client, step, name, ttl)
            else:
                await client.attempt(self._hold, client, step, name, ttl)
            await client.sleep(step.random.uniform(0, 0.3))

    async def _claim(self, client: Client, step: Step, name: str, ttl: float) -> None:
        asked = self._sim.now
        lease = (await client.attempt(client.c.claim, name, ttl=ttl)).value
        if lease is None:
            return
        entry = self._ledger.grant(client, lease, asked)
        if step.random.random() < 0.3:
            await self._until_lost(client, lease)
        else:
            await client.sleep(step.random.uniform(0, 0.8 * ttl))
            renewed = await client.attempt(lease.renew)
            if renewed.value is False:
                self._sim.check(lease.lost.is_set(), f"{lease!r} could not be renewed, and its loss is not told")
            await client.sleep(step.random.uniform(0, 0.8 * ttl))
        entry.over = True
        await client.attempt(lease.release)

    async def _hold(self, client: Client, step: Step, name: str, ttl: float) -> None:
        asked = self._sim.now
        async with client.c.hold(name, ttl=ttl, wait=step.random.choice((0.5, 5.0))) as lease:
            entry = self._ledger.grant(client, lease, asked)
            try:
                await client.sleep(step.random.uniform(0, 1.5 * ttl))
            finally:
                entry.over = True

    async def _until_lost(self, client: Client, lease: AsyncLease) -> None:
        began = self._sim.now
        until = began + lease.expires_in
        await lease.lost.wait()
        late = self._sim.now - until
        self._sim.check(late <= 0.05 or client.has_paused_since(began), f"the loss of {lease!r} came {late:.3f} s late")


async def leases(sim: Sim) -> None:
    """Clients claim, hold, renew, lose and release two names."""
    await sim.run(_Leases(sim).work, clients=3)


class _Ghosts:
    """Long claims that are cancelled, fail or are released: none is left once its taking back had its time."""

    def __init__(self, sim: Sim) -> None:
        self._sim = sim
        self._names = [f"ghost-{number}" for number in range(3)]
        self._unreleased: set[str] = set()

    async def work(self, client: Client) -> None:
        for step in client.steps(5):
            name = step.random.choice(self._names)
            if step.random.random() < 0.5:
                lease = (await client.attempt(client.c.claim, name, ttl=900)).value
                if lease is not None:
                    await client.sleep(step.random.uniform(0, 0.2))
                    await client.surely(lease.release)
            else:
                left = await client.attempt(self._hold, client, step, name)
                if isinstance(left.error, (OutcomeUnknown, Unavailable)):
                    # The release on leaving the block failed, and said so: the TTL ends the lease.
                    self._unreleased.add(name)

    async def _hold(self, client: Client, step: Step, name: str) -> None:
        async with client.c.hold(name, ttl=900, wait=3):
            await client.sleep(step.random.uniform(0, 0.2))

    async def see(self, client: Client) -> None:
        for name in self._names:
            holder = await client.c.holder(name)
            excused = self._sim.deaths or name in self._unreleased
            held = holder is not None and not excused and not self._sim.topology.lost_writes
            self._sim.check(not held, f"{name!r} is held by {holder}, and all have released it")


async def ghosts(sim: Sim) -> None:
    """Long claims that are cancelled, fail or are released: none is left once its taking back had its time."""
    them = _Ghosts(sim)
    # A claim is taken back for 30 s: no outage is to last longer.
    sim.calm_after(20.0)
    await sim.run(them.work, clients=3)
    await sim.look(them.see)


class _Windows:
    """``once`` is True for one caller per window."""

    ttl = 3.0

    def __init__(self, sim: Sim) -> None:
        self._sim = sim
        self.first: list[tuple[float, float]] = []
        self.all_answered = True

    async def work(self, client: Client) -> None:
        for step in client.steps(4):
            began = self._sim.now
            got = await client.attempt(client.c.once, "shared", ttl=self.ttl)
            self.all_answered = self.all_answered and got.is_done
            if got.value:
                self._be_first(began)
            await self._own(client, f"{client.name}-{step.number}")
            await client.sleep(step.random.choice((0.0, 0.1, 1.0)))

    def _be_first(self, began: float) -> None:
        sim = self._sim
        for other_began, other_ended in self.first:
            apart = max(sim.now - other_began, other_ended - began)
            sim.check(sim.leases_may_end_early or apart >= self.ttl - 0.01, f"two are first within {apart:.3f} s")
        self.first.append((began, sim.now))

    async def _own(self, client: Client, name: str) -> None:
        """A window that nobody else knows: what it answers is known, as long as every outcome is."""
        sim = self._sim
        first = await client.attempt(client.c.once, name, ttl=600)
        if not first.is_done or sim.topology.lost_writes:
            return
        sim.check(first.value, f"the first caller of {name!r} is not the first")
        again = await client.attempt(client.c.once, name, ttl=600)
        if sim.topology.lost_writes:
            return
        sim.check(not again.is_done or not again.value, f"the second caller of {name!r} is the first as well")
        opened = await client.attempt(client.c.forget, name)
        if not (again.is_done and opened.is_done) or sim.topology.lost_writes:
            return
        sim.check(opened.value, f"the window of {name!r} was not shut")
        anew = await client.attempt(client.c.once, name, ttl=600)
        right = anew.value or not anew.is_done or sim.topology.lost_writes
        sim.check(right, f"the window of {name!r} was opened, and its next caller is not the first")


async def windows(sim: Sim) -> None:
    """``once`` is True for one caller per window."""
    them = _Windows(sim)
    await sim.run(them.work, clients=3)
    sim.check(them.first or not them.all_answered or sim.deaths, "nobody was first, and everybody was answered")


class _Handovers:
    """A waiter gets a name as soon as it is released, while the network is healthy."""

    def __init__(self, sim: Sim) -> None:
        self._sim = sim
        self._freed = 0.0

    async def work(self, client: Client) -> None:
        ready = 0.0
        for step in client.steps(3):
            async with client.c.hold("baton", ttl=30):
                waited = self._sim.now - max(self._freed, ready)
                self._sim.check(not self._freed or waited < 0.6, f"{client.name} was woken after {waited:.3f} s")
                await client.sleep(step.random.uniform(0.0, 0.05))
            self._freed = ready = self._sim.now


async def handovers(sim: Sim) -> None:
    """A waiter gets a name as soon as it is released, while the network is healthy."""
    sim.plan.calm = True
    await sim.run(_Handovers(sim).work, clients=4)
