"""Run rows, several at a time, and print the table."""

from __future__ import annotations

import argparse
import os
import random
import resource
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from coord.testing.servers import engines
from torture.crew import CONTEXT
from torture.families import FAMILIES
from torture.results import Result, Task, table, total
from torture.row import run
from torture.rows import ROWS, Row

__all__ = ["main"]

_SHOWN = 12
_IMPORTED_LATER = ("coord.redis.blocking", "coord.redis.awaited", "redis.asyncio", "redis.sentinel", "redis.cluster")
"""What connecting imports: a third of a second that each worker would spend again."""

_FEWEST = 100
"""A whole run has a fault in so many operations."""


def main(words: Sequence[str] | None = None) -> int:
    """Return 1 when a promise was broken or a row is void, else 0."""
    given = _parsed(words)
    # The forks of the fork server import these.
    tests = Path(__file__).resolve().parents[1]
    paths = [str(tests), str(tests / "faults"), str(tests / "cluster"), os.environ.get("PYTHONPATH", "")]
    os.environ["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
    CONTEXT.set_forkserver_preload(["torture.worker", *_IMPORTED_LATER])
    began, results = time.monotonic(), list[Result]()
    tasks = _tasks(given)
    print(f"seed {given.seed}, {len(tasks)} rows", file=sys.stderr, flush=True)
    with ThreadPoolExecutor(given.jobs) as pool:
        for future in as_completed([pool.submit(run, task) for task in tasks]):
            results.append(result := future.result())
            _report(result, len(results), len(tasks), time.monotonic() - began)
    order = {task: number for number, task in enumerate(tasks)}
    results.sort(key=lambda result: order[result.task])
    print(table(results))
    servers = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = time.process_time() + servers.ru_utime + servers.ru_stime
    sentence, is_kept = total(results, least=0 if given.short or given.only else _FEWEST, cpu=cpu)
    print(f"{sentence}, {time.monotonic() - began:.0f} s, seed {given.seed}")
    return 0 if is_kept else 1


def _parsed(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("tests/torture", description="Count what is kept under real faults.")
    parser.add_argument("--operations", type=int, default=0, help="of all rows together; 1,000,000, or 300 a row")
    parser.add_argument("--only", default="", help="faults, separated by semicolons; a part of a name will do")
    parser.add_argument("--families", default="", help="families, separated by commas; all when empty")
    parser.add_argument("--engine", default="", help="engines, separated by commas; all that are here when empty")
    parser.add_argument("--seed", type=int, default=None, help="of what is drawn; the order of events is not repeated")
    parser.add_argument("--seconds", type=float, default=600.0, help="the longest that a row strikes")
    parser.add_argument("--short", action="store_true", help="each row for a moment, on one engine")
    parser.add_argument("--jobs", type=int, default=0, help="how many rows run at a time")
    given = parser.parse_args(words)
    given.seed = random.randrange(2**31) if given.seed is None else given.seed
    given.jobs = given.jobs or (8 if given.short else 2)
    here = engines()
    given.engines = [name.strip() for name in given.engine.split(",") if name.strip()]
    if not given.engines:
        given.engines = [("redis-8.2" if "redis-8.2" in here else next(iter(here)))] if given.short else list(here)
    given.only = [part.strip().lower() for part in given.only.split(";") if part.strip()]
    given.families = tuple(part.strip() for part in given.families.split(",") if part.strip())
    given.rows = [row for row in ROWS if not given.only or any(part in row.name.lower() for part in given.only)]
    for what, unknown in (
        ("engine", [name for name in given.engines if name not in here]),
        ("family", [name for name in given.families if name not in FAMILIES]),
        ("fault", [part for part in given.only if not any(part in row.name.lower() for row in ROWS)]),
    ):
        if unknown:
            parser.error(f"no such {what}: {', '.join(unknown)}")
    return given


def _tasks(given: argparse.Namespace) -> list[Task]:
    pairs: list[tuple[Row, str]] = [(row, engine) for row in given.rows for engine in given.engines]
    whole = given.operations or (300 * len(pairs) if given.short else 1_000_000)
    workers, lanes = (2, 4) if given.short else (4, 8)
    return [
        Task(
            row.name,
            engine,
            operations=-(-whole // len(pairs)),
            least=row.short if given.short else row.least,
            seconds=20.0 if given.short else given.seconds,
            seed=given.seed + number,
            workers=workers,
            lanes=lanes,
            only=given.families,
            may_lose=row.may_lose,
        )
        for number, (row, engine) in enumerate(pairs)
    ]


def _report(result: Result, number: int, of: int, seconds: float) -> None:
    task = result.task
    print(
        f"{seconds:6.0f} s  {number}/{of}  {task.row}, {task.engine}: {result.operations:,} operations, "
        f"{result.met:,} faults met, {result.seconds:.0f} s: {result.verdict}",
        file=sys.stderr,
        flush=True,
    )
    for text in result.broken[:_SHOWN]:
        print(f"    {text[:600]}", file=sys.stderr, flush=True)
    if len(result.broken) > _SHOWN:
        print(f"    and {len(result.broken) - _SHOWN} more", file=sys.stderr, flush=True)
    if result.failure:
        print(f"    {result.failure}", file=sys.stderr, flush=True)
    if result.verdict == "void":
        print(f"    void: {result.met} faults met, at least {task.least} are needed", file=sys.stderr, flush=True)
