"""The whole async client, unchanged, in a simulated world: many unlucky hours in one second, each replayable.

    from coord.testing.sim import Client, Sim, simulate

    async def one_at_a_time(sim: Sim) -> None:
        inside = 0

        async def work(client: Client) -> None:
            nonlocal inside
            async with client.c.hold("job", ttl=5):
                inside += 1
                sim.check(inside == 1, "two are in the block")
                await client.sleep(0.1)
                inside -= 1

        await sim.run(work, clients=3)

    simulate(one_at_a_time, seeds=200, faults=Faults.only("reset_after", "reply_lost"))

Time is virtual, the network and the servers are simulated, and everything that is drawn comes from one seed: a run that
fails prints its seed, and that seed replays it exactly.
"""

from __future__ import annotations

from coord.testing.sim.faults import ALL, Faults
from coord.testing.sim.simulate import Report, SimulationFailed, replay, simulate
from coord.testing.sim.topologies import TOPOLOGIES
from coord.testing.sim.world import Client, Outcome, Sim, Step, Violation

__all__ = [
    "ALL",
    "TOPOLOGIES",
    "Client",
    "Faults",
    "Outcome",
    "Report",
    "Sim",
    "SimulationFailed",
    "Step",
    "Violation",
    "replay",
    "simulate",
]
