"""``python -m benchmarks``: measure coord beside its peers."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks import report
from benchmarks.bench import Bench, Case
from benchmarks.cases import CASES
from benchmarks.goals import verdicts
from benchmarks.machine import machine
from benchmarks.measure import FULL, QUICK, Figure
from benchmarks.peers import missing, present
from benchmarks.progress import progress
from coord.testing.servers import Server, engines


def main() -> int:
    """Run the cases that were asked for, and report on them."""
    asked = _parser().parse_args()
    cases = _chosen(asked.only)
    if asked.list:
        for case in cases:
            print(f"{case.name:24} {case.title}")
        return 0
    if asked.replot:
        _plot(report.read_figures(asked.replot), asked.plots or Path("benchmarks/plots"))
        return 0
    with _server(asked.url, asked.engine) as (url, pid):
        here = machine(url)
        figures = _measured(cases, url, pid, quick=asked.quick)
    judged = verdicts(figures)
    report.tables(here, present(), missing(), figures)
    report.goals(judged)
    if asked.json:
        report.write_json(asked.json, report.as_json(here, present(), figures, judged))
    if asked.plots:
        _plot(figures, asked.plots)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure coord beside its peers.")
    parser.add_argument("--url", help="a server to use, instead of starting a private one")
    parser.add_argument("--engine", default="redis-8.2", help="the private server to start (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds: about a minute, and rough")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="cases whose names begin so")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every round of every figure")
    parser.add_argument("--plots", type=Path, metavar="DIR", help="draw SVG plots; needs matplotlib")
    parser.add_argument("--replot", type=Path, metavar="FILE", help="draw the plots of an earlier --json, and stop")
    parser.add_argument("--list", action="store_true", help="say what there is to measure, and stop")
    return parser


def _chosen(only: Sequence[str] | None) -> list[Case]:
    if not only:
        return list(CASES)
    for name in only:
        if not any(case.name.startswith(name) for case in CASES):
            sys.exit(f"there is no case {name!r}; --list says what there is")
    return [case for case in CASES if case.name.startswith(tuple(only))]


@contextmanager
def _server(url: str | None, engine: str) -> Iterator[tuple[str, int]]:
    """The server's URL, and its process; 0 when it is not ours."""
    if url is not None:
        yield url, 0
        return
    found = engines()
    if engine not in found:
        sys.exit(f"there is no engine {engine!r} here; there are: {', '.join(found) or 'none, see coord[servers]'}")
    with Server(found[engine]) as server:
        yield server.url, server.pid


def _measured(cases: Sequence[Case], url: str, pid: int, *, quick: bool) -> list[Figure]:
    figures: list[Figure] = []
    with progress(len(cases)) as shown:
        bench = Bench(url, pid, QUICK if quick else FULL, quick, shown.tell)
        for case in cases:
            shown.begin(f"{case.name}: {case.title}")
            figures += case.run(bench)
    return figures


def _plot(figures: Sequence[Figure], folder: Path) -> None:
    try:
        from benchmarks import plots  # noqa: PLC0415  # matplotlib may be missing
    except ModuleNotFoundError as error:
        print(f"no plots: {error.name} is not installed", file=sys.stderr)
        return
    for path in plots.draw(figures, folder):
        print(f"drew {path}")


if __name__ == "__main__":
    sys.exit(main())
