'''What each family of operations does in a simulation, and the invariants that hold whatever faults occur.

A family is a module of this package, named as its handle in plural (``limiters.py``). Nothing else lists it: its
workloads are the names in its ``__all__``. To add one, write a module like this:

    class _Slots:
        """Never more permits than the limit, and growing fences."""

        def __init__(self, sim: Sim) -> None:
            self._sim = sim
            self._inside = 0

        async def work(self, client: Client) -> None:                       # one simulated process
            for step in client.steps(5):                                    # a failure is shrunk by leaving out steps
                got = await client.attempt(client.c.semaphore("s", limit=2).claim, ttl=60)
                if got.value is not None:
                    self._inside += 1
                    self._sim.check(self._inside <= 2 or self._sim.leases_may_end_early, "three are inside")
                    await client.sleep(step.random.uniform(0, 0.5))
                    self._inside -= 1
                    await client.surely(got.value.release)

        async def see(self, client: Client) -> None:                        # at the end, without faults
            left = await client.c.semaphore("s", limit=2).holders()
            self._sim.check(not left or self._sim.deaths or self._sim.topology.lost_writes, f"left: {left}")


    async def permits(sim: Sim) -> None:
        """Never more permits than the limit, and growing fences."""
        slots = _Slots(sim)
        await sim.run(slots.work, clients=3)
        await sim.look(slots.see)

- ``await client.attempt(method, *arguments)`` makes one operation, perhaps cancelled at one of its awaits, and returns
  an ``Outcome``: ``value``, or ``error`` (Unavailable, OutcomeUnknown, LeaseLost, WaitTimeout; any other error fails
  the run), or ``cancelled``. ``is_done``: an answer came. ``is_known``: it is known whether the operation took effect.
  ``value`` is None when there is no answer. ``client.surely`` repeats the attempt until it is answered.
- Draw from ``step.random`` only, sleep with ``client.sleep``, read time from ``sim.now`` (virtual seconds).
- ``sim.prepare(work)`` runs before the faults; ``sim.look(work)`` after them, when all TTLs that end have ended (45 s).
- An invariant has to say what excuses it: ``sim.deaths`` (clients that died), ``sim.topology.lost_writes`` (a replica
  without the last writes took over), ``sim.leases_may_end_early`` (that, or a server's clock that went forward), an
  outcome that is not ``is_known``. An excuse hides faults: use the smallest.
- These hold without being written: a wait or client that never ends, a task that goes on after ``aclose()``, an error
  that coord logs, and a key without TTL each fail the run.
- Model what counts as bits or names (``kv.counts``, ``stats.pieces``), so that a sum says which call ran twice.

    python tests/sim --only limiters --seeds 600           # all topologies; --topology standalone, --jobs 1
    python -m pytest tests/sim -k limiters                 # as in CI: fixed seeds, replay, planted bugs

A failure prints its seed, the faults and the trace of the smallest run that still fails, and the line that replays it.
Then add two or three bugs of your family to ``tests/sim/planted.py`` (each must be found), so that the workload is
known to be able to fail.
'''

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Coroutine
from importlib import import_module
from typing import Any

from coord.testing.sim import Sim

__all__ = ["FAMILIES", "WORKLOADS", "Workload"]

Workload = Callable[[Sim], Coroutine[Any, Any, None]]


def _families() -> dict[str, tuple[Workload, ...]]:
    found: dict[str, tuple[Workload, ...]] = {}
    for module in pkgutil.iter_modules(__path__):
        family = import_module(f"{__name__}.{module.name}")
        found[module.name] = tuple(getattr(family, name) for name in family.__all__)
    return found


FAMILIES = _families()
"""The workloads of each family."""

WORKLOADS = {f"{family}.{each.__name__}": each for family, workloads in FAMILIES.items() for each in workloads}
"""Every workload, by its family and name."""
