"""Run rows, several at a time, and print the table."""

from __future__ import annotations

import argparse
import os
import random
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from coord.testing.servers import engines
from torture.crew import CONTEXT
from torture.families import FAMILIES
from torture.row import Result, Task, run
from torture.rows import ROWS, Row

__all__ = ["main"]

COLUMNS = ("lost", "doubled", "two holders", "not grown", "callbacks", "never woken", "no TTL", "left", "errors")
_SHOWN = 12
_FEWEST = 100
"""A whole run has a fault for each hundred operations."""


def main(words: Sequence[str] | None = None) -> int:
    """Return 1 when a promise was broken or a row is void, else 0."""
    given = _parsed(words)
    # The forks of the fork server import these.
    tests = Path(__file__).resolve().parents[1]
    paths = [str(tests), str(tests / "faults"), str(tests / "cluster"), os.environ.get("PYTHONPATH", "")]
    os.environ["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
    CONTEXT.set_forkserver_preload(["torture.row"])
    began, results = time.monotonic(), list[Result]()
    tasks = _tasks(given)
    print(f"seed {given.seed}, {len(tasks)} rows", file=sys.stderr, flush=True)
    with ProcessPoolExecutor(given.jobs, mp_context=CONTEXT) as pool:
        for future in as_completed([pool.submit(run, task) for task in tasks]):
            results.append(result := future.result())
            _report(result, len(results), len(tasks), time.monotonic() - began)
    order = {task: number for number, task in enumerate(tasks)}
    results.sort(key=lambda result: order[result.task])
    print(table(results))
    return _summed(given, results, time.monotonic() - began)


def _parsed(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("tests/torture", description="Count what is kept under real faults.")
    parser.add_argument("--operations", type=int, default=1_000_000, help="of all rows together")
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
    each = 300 if given.short else -(-given.operations // len(pairs))
    workers, lanes = (2, 6) if given.short else (4, 8)
    return [
        Task(
            row.name,
            engine,
            operations=each,
            least=row.short if given.short else row.least,
            seconds=20.0 if given.short else given.seconds,
            seed=given.seed + number,
            workers=workers,
            lanes=lanes,
            only=given.families,
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


def table(results: Sequence[Result]) -> str:
    """Return the table, as Markdown."""
    may_lose = {row.name: row.may_lose for row in ROWS}
    head = ["fault", "engine", "operations", "faults met", "unknown", *COLUMNS, "may be lost", "verdict"]
    rows = [
        [
            result.task.row,
            result.task.engine,
            f"{result.operations:,}",
            f"{result.met:,}",
            f"{result.unknown:,}",
            *(f"{result.counts[column]:,}" for column in COLUMNS),
            may_lose[result.task.row] or "nothing",
            result.verdict,
        ]
        for result in results
    ]
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in [head, ["-" * width for width in widths], *rows]
    ]
    return "\n".join(lines)


def _summed(given: argparse.Namespace, results: Sequence[Result], seconds: float) -> int:
    operations, met = sum(each.operations for each in results), sum(each.met for each in results)
    bad = {word: sum(each.verdict == word for each in results) for word in ("BROKEN", "void")}
    print(
        f"{operations:,} operations, {met:,} faults met, {len(results)} rows in {seconds:.0f} s, seed {given.seed}: "
        f"{bad['BROKEN']} broken, {bad['void']} void"
    )
    if not given.short and not given.only and met < operations // _FEWEST:
        print(f"void: {met:,} faults are too few for {operations:,} operations")
        return 1
    return int(any(bad.values()))
