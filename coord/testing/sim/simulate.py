"""Run a workload under many seeds; of a run that fails, find the smallest part that still does."""

from __future__ import annotations

import gc
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import coord.redis  # noqa: F401  # imported before clocks are replaced in all modules
from coord.script import Script
from coord.testing.sim.faults import Faults
from coord.testing.sim.loop import Deadlock, Stuck
from coord.testing.sim.seeded import Seeded, seeded
from coord.testing.sim.shrink import smallest
from coord.testing.sim.world import Sim

__all__ = ["Report", "Run", "SimulationFailed", "replay", "simulate"]

Workload = Callable[[Sim], Coroutine[Any, Any, None]]

_COLLECT_EVERY = 200
_TRACE_SHOWN = 60


@dataclass
class Report:
    """What a simulation did: how many seeds, operations, scripts that ran, faults by kind, and seconds."""

    seeds: int = 0
    operations: int = 0
    executed: int = 0
    lost_replies: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    virtual_seconds: float = 0.0
    cpu_seconds: float = 0.0

    def add(self, sim: Sim) -> None:
        """Count one run."""
        self.seeds += 1
        self.operations += sim.operations
        self.executed += sum(server.executed for server in sim.topology.servers)
        self.lost_replies += sim.network.lost_replies
        self.faults.update(fault.kind for fault in sim.plan.fired)
        self.virtual_seconds += sim.loop.elapsed

    def merge(self, other: Report) -> None:
        """Count what another simulation did."""
        self.seeds += other.seeds
        self.operations += other.operations
        self.executed += other.executed
        self.lost_replies += other.lost_replies
        self.faults.update(other.faults)
        self.virtual_seconds += other.virtual_seconds
        self.cpu_seconds += other.cpu_seconds


@dataclass
class Run:
    """One run of one seed. ``error`` is what it found, or None."""

    sim: Sim
    error: BaseException | None

    @property
    def why(self) -> str:
        """What was found, in words."""
        return "" if self.error is None else f"{type(self.error).__name__}: {self.error}"


class SimulationFailed(AssertionError):
    """A run broke an invariant. ``seed`` replays it; ``faults`` and ``steps`` are the smallest that still break it; ``report`` counts the runs before."""

    def __init__(self, workload: str, topology: str, seed: int, run: Run, found: Run, report: Report) -> None:
        self.seed = seed
        self.report = report
        self.faults = [fault.place for fault in run.sim.plan.fired]
        self.steps = [step for step in run.sim.used_steps if step not in run.sim.skipped]
        self.why = run.why
        self.trace = run.sim.trace
        struck = ", ".join(f"{fault.kind} ({fault.place})" for fault in run.sim.plan.fired) or "none"
        shown = "\n".join(f"  {_line(entry)}" for entry in self.trace[-_TRACE_SHOWN:])
        super().__init__(
            f"{workload} on {topology}, seed {seed}: {found.why}\n"
            f"shrunk: {run.why}\n"
            f"faults: {struck}\n"
            f"steps: {', '.join(self.steps) or 'none'}\n"
            f"replay: replay({workload}, {seed}, topology={topology!r})\n"
            f"trace of the shrunk run:\n{shown}"
        )


def _line(entry: tuple[Any, ...]) -> str:
    when, who, what, *rest = (*entry, "", "")
    words = " ".join(str(each) for each in rest if each != "")
    return f"{when:10.6f} {who} {what} {words}".rstrip()[:240]


def simulate(
    workload: Workload,
    seeds: int | Iterable[int] = 100,
    *,
    faults: Faults | None = None,
    topology: str = "standalone",
    scripts: Sequence[Script] = (),
    shrink: bool = True,
) -> Report:
    """Run a workload once for each seed, and return what was done.

    ``seeds``: how many, from 0 on, or which. ``faults``: which may strike; all, when None.
    ``topology``: "standalone", "sentinel" or "cluster". ``scripts``: your own, if they have twins.
    Raises ``SimulationFailed`` for the first run that breaks an invariant: its message has the seed, and the faults,
    the steps and the trace of the smallest run that still fails.
    """
    faults = Faults() if faults is None else faults
    report = Report()
    began = time.process_time()
    with seeded() as sources:

        def play(
            seed: int,
            only: frozenset[str] | None = None,
            skipped: frozenset[str] = frozenset(),
            *,
            traced: bool = False,
        ) -> Run:
            return _play(
                sources, workload, seed, faults=faults, topology=topology, scripts=scripts, only=only,
                skipped=skipped, traced=traced,
            )  # fmt: skip

        for seed in range(seeds) if isinstance(seeds, int) else seeds:
            run = play(seed)
            report.add(run.sim)
            if run.error is not None:
                least = smallest(play, seed, run) if shrink else play(seed, traced=True)
                report.cpu_seconds = time.process_time() - began
                raise SimulationFailed(_name(workload), topology, seed, least, run, report) from run.error
            if report.seeds % _COLLECT_EVERY == 0:
                gc.collect()
    report.cpu_seconds = time.process_time() - began
    return report


def replay(
    workload: Workload,
    seed: int,
    *,
    faults: Faults | None = None,
    topology: str = "standalone",
    scripts: Sequence[Script] = (),
) -> list[tuple[Any, ...]]:
    """Run one seed, and return its trace: every write, script, fault and event, with its virtual time."""
    faults = Faults() if faults is None else faults
    with seeded() as sources:
        run = _play(sources, workload, seed, faults=faults, topology=topology, scripts=scripts, traced=True)
    run.sim.trace.append((run.sim.loop.elapsed, "end", run.sim.loop.steps, run.why))
    return run.sim.trace


def _play(
    sources: Seeded,
    workload: Workload,
    seed: int,
    *,
    faults: Faults,
    topology: str,
    scripts: Sequence[Script] = (),
    only: frozenset[str] | None = None,
    skipped: frozenset[str] = frozenset(),
    traced: bool = False,
) -> Run:
    sim = Sim(seed, faults=faults, topology=topology, only=only, skipped=skipped, scripts=scripts, traced=traced)
    sources.begin(sim.loop, seed)
    try:
        sim.play(workload)
    except (Exception, Deadlock, Stuck) as error:
        return Run(sim, error)
    finally:
        sources.end()
    return Run(sim, None)


def _name(workload: Workload) -> str:
    return str(getattr(workload, "__name__", workload))
