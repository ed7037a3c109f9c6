"""``python -m coord.testing.sim``: put every family of operations to many simulated worlds, and print what was met."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

from coord.testing.sim.simulate import Report, SimulationFailed, simulate
from coord.testing.sim.topologies import TOPOLOGIES
from coord.testing.sim.workloads import FAMILIES

_CHUNK = 250

_WORKLOADS = {
    f"{family}.{workload.__name__}": (family, number)
    for family, workloads in FAMILIES.items()
    for number, workload in enumerate(workloads)
}


@dataclass(frozen=True)
class _Job:
    """Some seeds of one workload."""

    family: str
    workload: int
    topology: str
    first: int
    count: int


def _run(job: _Job) -> tuple[_Job, Report, str]:
    workload = FAMILIES[job.family][job.workload]
    seeds = range(job.first, job.first + job.count)
    try:
        return job, simulate(workload, seeds, topology=job.topology), ""
    except SimulationFailed as failed:
        return job, failed.report, str(failed)


def _jobs(chosen: Sequence[tuple[str, int]], kinds: Sequence[str], seeds: int, first: int) -> list[_Job]:
    """Deal the seeds out evenly: to families, to their workloads, and to the topologies."""
    jobs: list[_Job] = []
    families = {family for family, _ in chosen}
    for family, number in chosen:
        workloads = sum(each == family for each, _ in chosen)
        each = max(1, -(-seeds // (len(families) * workloads * len(kinds))))
        for topology in kinds:
            jobs += [
                _Job(family, number, topology, first + start, min(_CHUNK, each - start))
                for start in range(0, each, _CHUNK)
            ]
    return jobs


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return 1 when an invariant was broken."""
    parser = argparse.ArgumentParser(prog="python -m coord.testing.sim", description=__doc__)
    parser.add_argument("--seeds", type=int, default=3_000, help="how many runs in all (default: 3,000)")
    parser.add_argument("--first", type=int, default=0, help="the first seed (default: 0)")
    parser.add_argument(
        "--only", action="append", help="FAMILY or FAMILY.WORKLOAD, such as claims.ghosts; may be repeated"
    )
    parser.add_argument(
        "--topology", action="append", choices=sorted(TOPOLOGIES), help="only this one; may be repeated"
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes (default: one a core)")
    parser.add_argument("--stop", action="store_true", help="stop at the first violation")
    chosen = parser.parse_args(arguments)
    wanted = [place for place in _WORKLOADS if not chosen.only or {place, place.partition(".")[0]} & set(chosen.only)]
    if not wanted:
        parser.error(f"there is no such workload: there are {', '.join(_WORKLOADS)}")
    jobs = _jobs(
        [_WORKLOADS[place] for place in wanted], chosen.topology or list(TOPOLOGIES), chosen.seeds, chosen.first
    )
    totals = {job.family: Report() for job in jobs}
    failures: list[str] = []
    print(f"{sum(job.count for job in jobs):,} runs of {', '.join(wanted)}; {chosen.jobs} processes", flush=True)
    with ProcessPoolExecutor(chosen.jobs) as pool:
        for job, report, failure in map(_run, jobs) if chosen.jobs == 1 else pool.map(_run, jobs):
            totals[job.family].merge(report)
            if failure:
                failures.append(failure)
                print(failure, file=sys.stderr, flush=True)
                if chosen.stop:
                    pool.shutdown(cancel_futures=True)
                    break
    _print(totals, failures)
    return 1 if failures else 0


def _print(totals: dict[str, Report], failures: list[str]) -> None:
    row = "{:10} {:>8} {:>11} {:>11} {:>9} {:>9} {:>10} {:>9}"
    print(row.format("family", "seeds", "operations", "scripts", "faults", "lost", "virtual h", "core min"))
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
            )
        )
    faults = ", ".join(f"{kind} {count:,}" for kind, count in sorted(whole.faults.items()))
    print(f"faults: {faults}")
    print(f"violations: {len(failures)}")


if __name__ == "__main__":
    sys.exit(main())
