"""``python -m benchmarks``: measure coord beside its peers and beside the floor."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import coord
from benchmarks import plots, report
from benchmarks.bench import Bench, Case
from benchmarks.cases import CASES
from benchmarks.goals import verdicts
from benchmarks.machine import machine
from benchmarks.measure import FULL, QUICK, Figure
from benchmarks.progress import Progress
from coord.testing.servers import Server, engines

SCHEMES = {"redis": "redis", "rediss": "rediss", "unix": "unix", "valkey": "redis", "valkeys": "rediss"}


def main() -> int:
    """Run the chosen cases and report on them."""
    args = _parser().parse_args()
    cases = _chosen(args.only)
    if args.list:
        print(*(f"{case.name:24} {case.title}" for case in cases), sep="\n")
        return 0
    if args.read:
        here, figures = report.read(args.read)
    else:
        with _server(args.url, args.engine) as (url, pid):
            here = machine(url)
            figures = _measured(cases, url, pid, quick=args.quick)
    results = report.Results(here, figures, verdicts(figures))
    if args.tables or args.only:
        print(report.tables(results), end="\n\n")
    print(report.summary(results))
    if args.json:
        report.write(args.json, report.as_json(results))
    if args.report:
        report.write(args.report, report.page(results))
    if args.plots:
        for case, some in results.cases():
            report.write(args.plots / f"{case}.svg", plots.plot(case, some))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Measure coord beside its peers, and beside a bare socket."
    )
    parser.add_argument(
        "--url", help="the server to use: redis://, rediss:// or unix:// (default: start a private one)"
    )
    parser.add_argument("--engine", default="redis-8.2", help="the private server to start (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds: about a minute, and rough")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="run the cases whose names start with NAME")
    parser.add_argument("--list", action="store_true", help="list the cases and exit")
    parser.add_argument("--tables", action="store_true", help="print every figure; --only does so, too")
    parser.add_argument(
        "--report", type=Path, metavar="FILE", help="write one HTML page: machine, goals, plots, figures"
    )
    parser.add_argument("--plots", type=Path, metavar="DIR", help="write an SVG plot for each case")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every round of every figure")
    parser.add_argument("--read", type=Path, metavar="FILE", help="report on an earlier --json instead of measuring")
    return parser


def _chosen(only: Sequence[str] | None) -> list[Case]:
    if not only:
        return list(CASES)
    for name in only:
        if not any(case.name.startswith(name) for case in CASES):
            sys.exit(f"there is no case {name!r}; --list shows all of them")
    return [case for case in CASES if case.name.startswith(tuple(only))]


@contextmanager
def _server(url: str | None, engine: str) -> Iterator[tuple[str, int]]:
    """Yield the URL of the server and its process; 0 when it is not ours."""
    if url is not None:
        scheme, _, rest = url.partition("://")
        if scheme not in SCHEMES:
            sys.exit(f"--url takes one server, by {', '.join(SCHEMES)}: not {scheme}://")
        try:
            coord.connect(url).close()
        except coord.CoordError as error:
            sys.exit(str(error))
        yield f"{SCHEMES[scheme]}://{rest}", 0
        return
    found = engines()
    if engine not in found:
        sys.exit(f"there is no engine {engine!r} here; found: {', '.join(found) or 'none, install coord[servers]'}")
    with Server(found[engine]) as server:
        yield server.url, server.pid


def _measured(cases: Sequence[Case], url: str, pid: int, *, quick: bool) -> list[Figure]:
    figures: list[Figure] = []
    progress = Progress(len(cases))
    bench = Bench(url, pid, QUICK if quick else FULL, quick, progress.tell)
    for case in cases:
        progress.begin(f"{case.name}: {case.title}")
        figures += case.run(bench)
    progress.end()
    return figures


if __name__ == "__main__":
    sys.exit(main())
