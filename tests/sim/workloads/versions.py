"""Versions: they grow strictly, and one of many who compare and bump wins."""

from __future__ import annotations

from coord.testing.sim import Client, Sim

__all__ = ["bumps"]


class _Bumps:
    """Clients bump, look, and compare and bump one name."""

    def __init__(self, sim: Sim) -> None:
        self._sim = sim
        self._known: list[tuple[float, int]] = []
        self._replaced: dict[int, str] = {}

    async def work(self, client: Client) -> None:
        for step in client.steps(8):
            began = self._sim.now
            newest = max((version for _, version in self._known), default=0)
            match step.random.choice(("bump", "bump", "compare", "stale", "version")):
                case "bump":
                    version = (await client.attempt(client.c.bump, "doc")).value
                    self._grew(began, version, client)
                case "compare":
                    await self._compare(client, newest)
                case "stale":
                    await self._stale(client, newest)
                case _:
                    seen = (await client.attempt(client.c.version, "doc")).value
                    gone = seen is not None and seen < newest and not self._sim.topology.lost_writes
                    self._sim.check(not gone, f"version {seen} was seen after {newest}")
            await client.sleep(step.random.choice((0.0, 0.01, 0.3)))

    def _grew(self, began: float, version: int | None, client: Client) -> None:
        if version is None:
            return
        for ended, older in self._known:
            self._sim.check(
                version > older or ended >= began, f"{client.name} was given version {version} after {older}"
            )
            self._sim.check(version != older, f"version {version} was given twice")
        self._known.append((self._sim.now, version))

    async def _compare(self, client: Client, newest: int) -> None:
        began = self._sim.now
        tried = (await client.attempt(client.c.bump_if_current, "doc", newest)).value
        if tried is None or not tried.bumped:
            return
        self._grew(began, tried.version, client)
        twice = newest in self._replaced and not self._sim.topology.lost_writes
        self._sim.check(not twice, f"two replaced version {newest}: {client.name}, {self._replaced.get(newest)}")
        self._replaced[newest] = client.name

    async def _stale(self, client: Client, newest: int) -> None:
        oldest = min((version for _, version in self._known), default=0)
        stale = (await client.attempt(client.c.is_stale, "doc", oldest)).value
        told = stale is False and oldest < newest and not self._sim.topology.lost_writes
        self._sim.check(not told, f"{oldest} is not stale, and {newest} was given before")

    async def see(self, client: Client) -> None:
        """With all faults over, a version is given, and it is the newest."""
        began = self._sim.now
        self._grew(began, await client.c.bump("doc"), client)


async def bumps(sim: Sim) -> None:
    """Clients bump, look, and compare and bump one name."""
    them = _Bumps(sim)
    await sim.run(them.work, clients=3)
    await sim.look(them.see)
