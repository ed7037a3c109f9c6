"""Versions: they grow strictly, and one of many who compare and bump wins."""

from __future__ import annotations

from coord.testing.sim.world import Client, Sim

__all__ = ["bumps"]


async def bumps(sim: Sim) -> None:
    """Clients bump, look, and compare and bump one name."""
    known: list[tuple[float, float, int]] = []
    bases: dict[int, str] = {}

    def grew(began: float, version: int, client: Client) -> None:
        for _, ended, older in known:
            if ended < began:
                sim.check(version > older, f"{client.name} was given version {version} after {older}")
        sim.check(all(version != other for *_, other in known), f"version {version} was given twice")
        known.append((began, sim.now, version))

    async def work(client: Client) -> None:
        for step in client.steps(8):
            began = sim.now
            newest = max((version for _, ended, version in known if ended < began), default=0)
            match step.random.choice(("bump", "bump", "compare", "stale", "version")):
                case "bump":
                    got = await client.attempt(lambda: client.c.bump("doc"))
                    if got.value is not None:
                        grew(began, got.value, client)
                case "compare":
                    tried = await client.attempt(lambda newest=newest: client.c.bump_if_current("doc", newest))  # type: ignore[misc]  # bound per step
                    if tried.value is not None and tried.value.bumped:
                        grew(began, tried.value.version, client)
                        sim.check(
                            newest not in bases, f"two replaced version {newest}: {client.name}, {bases.get(newest)}"
                        )
                        bases[newest] = client.name
                case "stale":
                    older = min((version for *_, version in known), default=0)
                    stale = await client.attempt(lambda older=older: client.c.is_stale("doc", older))  # type: ignore[misc]  # bound per step
                    sim.check(stale.value is not False or older in (0, newest) or newest <= older, f"{older} is stale")
                case _:
                    seen = await client.attempt(lambda: client.c.version("doc"))
                    if seen.value is not None:
                        sim.check(seen.value >= newest, f"version {seen.value} was seen after {newest}")
            await client.sleep(step.random.choice((0.0, 0.01, 0.3)))

    await sim.run(work, clients=3)
