"""Rate limiters: never more than the burst and the rate, whatever is lost, late or cancelled."""

from __future__ import annotations

from coord import Limit
from coord.testing.sim import Client, Sim

__all__ = ["hits", "places", "refunds"]

_FEW = Limit(6, per=100_000_000)
"""Its refill during a simulation is nothing."""


class _Hits:
    """Each hit is taken once; what is left at the end is what was not taken."""

    def __init__(self, sim: Sim) -> None:
        self._sim = sim
        self._sure = self._maybe = 0

    async def work(self, client: Client) -> None:
        for step in client.steps(5):
            limiter = client.c.limiter("api", _FEW)
            got = await client.attempt(limiter.hit)
            if got.value is not None:
                self._sure += got.value.allowed
            elif not got.is_known:
                self._maybe += 1
            self._sim.check(self._sure <= 6 or self._sim.topology.lost_writes, f"{self._sure} of 6 passed")
            await client.attempt(limiter.peek)
            await client.sleep(step.random.uniform(0, 0.5))

    async def see(self, client: Client) -> None:
        left = (await client.c.limiter("api", _FEW).peek()).remaining
        # A client that died may have sent a last hit.
        maybe = self._maybe + self._sim.deaths
        fits = self._sure <= 6 - left <= self._sure + maybe
        self._sim.check(fits or self._sim.topology.lost_writes, f"{left} of 6 left after {self._sure} to +{maybe}")


async def hits(sim: Sim) -> None:
    """Each hit is taken once; what is left at the end is what was not taken."""
    them = _Hits(sim)
    await sim.run(them.work, clients=3)
    await sim.look(them.see)


class _Refunds:
    """A refund never makes more than full, and a reset makes exactly that."""

    def __init__(self, sim: Sim) -> None:
        self._sim = sim

    async def work(self, client: Client) -> None:
        for step in client.steps(4):
            limiter = client.c.limiter("api", _FEW)
            await client.attempt(step.random.choice((limiter.hit, limiter.refund, limiter.refund, limiter.reset)))
            seen = (await client.attempt(limiter.peek)).value
            self._sim.check(seen is None or seen.remaining <= 6, f"{seen} has more than full")
            await client.sleep(step.random.uniform(0, 0.5))

    async def see(self, client: Client) -> None:
        limiter = client.c.limiter("api", _FEW)
        await limiter.reset()
        self._sim.check((await limiter.peek()).remaining == 6, "a reset did not make it full")


async def refunds(sim: Sim) -> None:
    """A refund never makes more than full, and a reset makes exactly that."""
    them = _Refunds(sim)
    await sim.run(them.work, clients=3)
    await sim.look(them.see)


class _Places:
    """Waiters pass one a second; a penalty moves them, and those that are cancelled take nobody's place."""

    def __init__(self, sim: Sim) -> None:
        self._sim = sim
        self._began = sim.now
        self._passed = 0

    async def work(self, client: Client) -> None:
        for step in client.steps(3):
            limiter = client.c.limiter("mail", Limit(1, per=1))
            if step.random.random() < 0.2:
                await client.attempt(limiter.penalize, step.random.uniform(0.1, 1.0))
            got = await client.attempt(limiter.wait, timeout=step.random.choice((0.5, 5.0)))
            if got.is_done and got.error is None:
                self._passed += 1
                most = 1.001 + self._sim.now - self._began
                self._sim.check(
                    self._passed <= most or self._sim.leases_may_end_early, f"{self._passed} passed, of {most:.3f}"
                )
            await client.sleep(step.random.uniform(0, 0.5))


async def places(sim: Sim) -> None:
    """Waiters pass one a second; a penalty moves them, and those that are cancelled take nobody's place."""
    them = _Places(sim)
    await sim.run(them.work, clients=3)
