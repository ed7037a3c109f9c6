"""Run every family of operations in many simulated worlds, and print what was met.

make simulate SEEDS=100000                                      # all families and topologies, hours
python tests/sim --only claims --topology cluster --seeds 500
python tests/sim --only claims.ghosts --topology cluster --first 1234 --seeds 1 --trace
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Generator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import closing
from dataclasses import dataclass

from workloads import WORKLOADS

from coord.testing.sim import ALL, TOPOLOGIES, Faults, Report, SimulationFailed, replay, simulate

__all__ = ["Job", "main", "run"]

_CHUNK = 100
_PROGRESS_SECONDS = 15.0


@dataclass(frozen=True)
class Job:
    """Some seeds of one workload on one topology."""

    workload: str
    topology: str
    first: int
    count: int
    faults: Faults

    @property
    def family(self) -> str:
        """The family of the workload."""
        return self.workload.partition(".")[0]


@dataclass
class Result:
    """What came of a job: ``failure`` is the message of the first seed that failed, and its number."""

    job: Job
    report: Report
    failure: str = ""
    seed: int = -1


def run(job: Job) -> Result:
    """Run the seeds of a job until one fails."""
    seeds = range(job.first, job.first + job.count)
    try:
        return Result(job, simulate(WORKLOADS[job.workload], seeds, faults=job.faults, topology=job.topology))
    except SimulationFailed as failed:
        again = (
            f"again: python tests/sim --only {job.workload} --topology {job.topology} --first {failed.seed} --seeds 1"
        )
        return Result(job, failed.report, f"{failed}\n{again}\n", failed.seed)


def _jobs(chosen: Sequence[str], topologies: Sequence[str], seeds: int, first: int, faults: Faults) -> list[Job]:
    """Share the seeds out evenly among families, then among their workloads and the topologies."""
    jobs: list[Job] = []
    sizes = Counter(name.partition(".")[0] for name in chosen)
    for name in chosen:
        each = max(1, -(-seeds // (len(sizes) * sizes[name.partition(".")[0]] * len(topologies))))
        jobs += [
            Job(name, topology, first + start, min(_CHUNK, each - start), faults)
            for topology in topologies
            for start in range(0, each, _CHUNK)
        ]
    # Progress is even over the families: a long run that is stopped has met all of them.
    return sorted(jobs, key=lambda job: job.first)


def _results(jobs: Sequence[Job], processes: int) -> Generator[Result]:
    if processes == 1:
        yield from map(run, jobs)
        return
    with ProcessPoolExecutor(processes) as pool:
        try:
            for done in as_completed([pool.submit(run, job) for job in jobs]):
                yield done.result()
        finally:
            pool.shutdown(cancel_futures=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return 1 when an invariant was broken."""
    parser = argparse.ArgumentParser(
        prog="python tests/sim", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=3_000, help="how many runs in all (default: 3,000)")
    parser.add_argument("--first", type=int, default=0, help="the first seed (default: 0)")
    parser.add_argument("--only", action="append", metavar="FAMILY[.WORKLOAD]", help="may be repeated")
    parser.add_argument("--topology", action="append", choices=list(TOPOLOGIES), help="may be repeated")
    parser.add_argument("--fault", action="append", choices=sorted(ALL), help="only this kind; may be repeated")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes (default: one a core)")
    parser.add_argument("--minutes", type=float, help="begin no new runs after that time")
    parser.add_argument("--stop", action="store_true", help="stop at the first violation")
    parser.add_argument("--trace", action="store_true", help="print the whole trace of the first seed, and no more")
    chosen = parser.parse_args(arguments)
    wanted = [name for name in WORKLOADS if not chosen.only or {name, name.partition(".")[0]} & set(chosen.only)]
    if not wanted:
        parser.error(f"there is no such workload: there are {', '.join(WORKLOADS)}")
    topologies = chosen.topology or list(TOPOLOGIES)
    if chosen.trace:
        for entry in replay(WORKLOADS[wanted[0]], chosen.first, topology=topologies[0]):
            print(*entry)
        return 0
    faults = Faults.only(*chosen.fault) if chosen.fault else Faults()
    jobs = _jobs(wanted, topologies, chosen.seeds, chosen.first, faults)
    print(f"{sum(job.count for job in jobs):,} runs of {', '.join(wanted)}; {chosen.jobs} processes", flush=True)
    totals = {job.family: Report() for job in sorted(jobs, key=lambda job: wanted.index(job.workload))}
    failures: list[Result] = []
    progress = _Progress(sum(job.count for job in jobs))
    ends = time.monotonic() + 60 * chosen.minutes if chosen.minutes else None
    with closing(_results(jobs, chosen.jobs)) as results:
        for result in results:
            totals[result.job.family].merge(result.report)
            progress.add(result)
            if result.failure:
                failures.append(result)
                print(result.failure, file=sys.stderr, flush=True)
                if chosen.stop:
                    break
            if ends is not None and time.monotonic() > ends:
                break
    _print(totals, failures)
    return 1 if failures else 0


class _Progress:
    """A line to stderr now and then."""

    def __init__(self, whole: int) -> None:
        self._whole = whole
        self._done = self._failed = 0
        self._began = self._said = time.monotonic()

    def add(self, result: Result) -> None:
        """Count a result."""
        self._done += result.job.count
        self._failed += bool(result.failure)
        now = time.monotonic()
        if now - self._said >= _PROGRESS_SECONDS:
            self._said = now
            pace = self._done / (now - self._began)
            minutes = (self._whole - self._done) / pace / 60
            print(
                f"{self._done:,} of {self._whole:,} runs, {self._failed} violations, {pace:.1f} runs/s, "
                f"{minutes:.0f} min left",
                file=sys.stderr,
                flush=True,
            )


def _print(totals: dict[str, Report], failures: list[Result]) -> None:
    row = "{:11} {:>8} {:>11} {:>11} {:>10} {:>9} {:>10} {:>9} {:>11}"
    head = ("family", "seeds", "operations", "scripts", "faults", "lost", "virtual h", "core min", "violations")
    print(row.format(*head))
    whole = Report()
    for each in totals.values():
        whole.merge(each)
    for name, each in [*totals.items(), ("all", whole)]:
        print(
            row.format(
                name,
                f"{each.seeds:,}",
                f"{each.operations:,}",
                f"{each.executed:,}",
                f"{sum(each.faults.values()):,}",
                f"{each.lost_replies:,}",
                f"{each.virtual_seconds / 3600:,.1f}",
                f"{each.cpu_seconds / 60:,.1f}",
                sum(name in (failure.job.family, "all") for failure in failures),
            )
        )
    print("faults: " + ", ".join(f"{kind} {count:,}" for kind, count in sorted(whole.faults.items())))
    print("scripts: " + ", ".join(f"{name} {count:,}" for name, count in sorted(whole.scripts.items())))
    print(f"core-hours: {whole.cpu_seconds / 3600:.2f}")
    for failure in failures:
        print(f"failed: {failure.job.workload} on {failure.job.topology}, seed {failure.seed}")
    print(f"violations: {len(failures)}")
