"""Run a workload under many seeds; of a run that fails, find the smallest part that still does."""

from __future__ import annotations

import gc
import time
import traceback
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import coord.redis  # noqa: F401  # pyright: ignore[reportUnusedImport]  # imported before clocks are replaced
from coord.errors import ConfigError
from coord.script import Script
from coord.testing.sim.faults import Faults
from coord.testing.sim.run import Run
from coord.testing.sim.seeded import Seeded, seeded
from coord.testing.sim.shrink import smallest
from coord.testing.sim.world import Sim, Violation

__all__ = ["Report", "SimulationFailed", "replay", "simulate"]

Workload = Callable[[Sim], Coroutine[Any, Any, None]]
Play = Callable[..., Run]

_COLLECT_EVERY = 200
_TRACE_SHOWN = 60


@dataclass
class Report:
    """Totals of a simulation: seeds and operations, scripts by name, faults by kind, and seconds."""

    seeds: int = 0
    operations: int = 0
    lost_replies: int = 0
    scripts: Counter[str] = field(default_factory=Counter[str])
    faults: Counter[str] = field(default_factory=Counter[str])
    virtual_seconds: float = 0.0
    cpu_seconds: float = 0.0

    @property
    def executed(self) -> int:
        """How many scripts the servers ran."""
        return self.scripts.total()

    def add(self, sim: Sim) -> None:
        """Count one run."""
        self.seeds += 1
        self.operations += sim.operations
        for server in sim.topology.servers:
            self.scripts.update(server.executed)
        self.lost_replies += sim.network.lost_replies
        self.faults.update(fault.kind for fault in sim.plan.fired)
        self.virtual_seconds += sim.loop.elapsed

    def merge(self, other: Report) -> None:
        """Count what another simulation did."""
        self.seeds += other.seeds
        self.operations += other.operations
        self.scripts.update(other.scripts)
        self.lost_replies += other.lost_replies
        self.faults.update(other.faults)
        self.virtual_seconds += other.virtual_seconds
        self.cpu_seconds += other.cpu_seconds


@dataclass
class Failure:
    """The report of a run that failed: what it found, and the smallest part of it that still finds it."""

    seed: int
    found: str
    why: str
    where: str
    faults: list[tuple[str, str]]
    steps: list[str]
    trace: list[tuple[Any, ...]]

    @classmethod
    def of(cls, seed: int, least: Run, found: Run) -> Failure:
        """Take it from two runs: the first that failed, and the smallest."""
        where = "".join(traceback.format_exception(least.error)[-4:]) if least.error else ""
        return cls(
            seed,
            found.why,
            least.why,
            where,
            [(fault.kind, fault.place) for fault in least.sim.plan.fired],
            [step for step in least.sim.used_steps if step not in least.sim.skipped],
            least.sim.trace,
        )


class SimulationFailed(AssertionError):
    """A run broke an invariant.

    ``seed`` replays it. ``faults`` (kind and place), ``steps``, ``why`` and ``trace`` are those of the smallest run
    that still breaks it; ``report`` counts the runs before.
    """

    def __init__(self, workload: str, topology: str, failure: Failure, report: Report) -> None:
        self.seed, self.why = failure.seed, failure.why
        self.faults, self.steps, self.trace = failure.faults, failure.steps, failure.trace
        self.report = report
        struck = ", ".join(f"{kind} ({place})" for kind, place in self.faults) or "none"
        shown = "\n".join(f"  {_line(entry)}" for entry in self.trace[-_TRACE_SHOWN:])
        super().__init__(
            f"{workload} on {topology}, seed {self.seed}: {failure.found}\n"
            f"shrunk: {self.why}\n"
            f"faults: {struck}\n"
            f"steps: {', '.join(self.steps) or 'none'}\n"
            f"replay: replay({workload}, {self.seed}, topology={topology!r})\n"
            f"{failure.where}"
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
    ``topology``: "standalone", "sentinel" or "cluster". ``scripts``: your own that have twins, which are faster; of
    others the Lua runs, by lupa (``coord[lua]``; ``ConfigError`` without it).
    Raises ``SimulationFailed`` for the first run that breaks an invariant: its message has the seed, and the faults,
    the steps and the trace of the smallest run that still fails.
    """
    faults = Faults() if faults is None else faults
    with seeded() as sources:

        def play(
            seed: int,
            only: frozenset[str] | None = None,
            skipped: frozenset[str] = frozenset(),
            *,
            traced: bool = False,
        ) -> Run:
            sim = Sim(
                seed, faults=faults, topology=topology, only=only, skipped=skipped, scripts=scripts, traced=traced
            )
            return _play(sources, sim, workload)

        report, failed = _play_all(play, range(seeds) if isinstance(seeds, int) else seeds, shrink=shrink)
    if isinstance(failed, ConfigError):
        raise failed
    if failed is not None:
        raise SimulationFailed(_name(workload), topology, failed, report)
    return report


def _play_all(play: Play, seeds: Iterable[int], *, shrink: bool) -> tuple[Report, Failure | ConfigError | None]:
    """Play seeds until one fails. What is returned holds no run, so that all of them are collected by then."""
    report = Report()
    began = time.process_time()
    failed: Failure | ConfigError | None = None
    for seed in seeds:
        run = play(seed)
        report.add(run.sim)
        if isinstance(run.error, ConfigError):
            # Such as that lupa is missing: no seed and no fault has a part in it.
            failed = ConfigError(str(run.error))
            break
        if run.error is not None:
            least = smallest(play, seed, run) if shrink else play(seed, traced=True)
            failed = Failure.of(seed, least, run)
            break
        if report.seeds % _COLLECT_EVERY == 0:
            gc.collect()
    report.cpu_seconds = time.process_time() - began
    return report, failed


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
        return _traced(sources, Sim(seed, faults=faults, topology=topology, scripts=scripts, traced=True), workload)


def _traced(sources: Seeded, sim: Sim, workload: Workload) -> list[tuple[Any, ...]]:
    run = _play(sources, sim, workload)
    sim.trace.append((sim.loop.elapsed, "end", sim.loop.steps, run.why))
    return sim.trace


def _play(sources: Seeded, sim: Sim, workload: Workload) -> Run:
    sources.begin(sim.loop, sim.seed)
    try:
        sim.play(workload)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:
        # Also exceptions of test frameworks, which do not derive from ``Exception``.
        return Run(sim, error)
    finally:
        sources.end()
    return Run(sim, Violation("a thread was started, whose time is not simulated") if sources.threads else None)


def _name(workload: Workload) -> str:
    return str(getattr(workload, "__name__", workload))
