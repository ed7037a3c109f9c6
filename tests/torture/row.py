"""One row: servers, workers, a fault again and again, and the counting afterwards."""

from __future__ import annotations

import tempfile
import time
import traceback
from pathlib import Path
from time import monotonic
from typing import Any

from machines import dialled

import coord
from coord.testing.leaks import leaked_keys
from coord.testing.servers import engines
from torture.crew import Crew
from torture.families import LONGEST_TTL, findings
from torture.faults import Fault
from torture.journal import Record, read
from torture.judging import Finding, Seen
from torture.results import Result, Task
from torture.rows import ROWS
from torture.worker import Orders

__all__ = ["run"]

OPTIONS: dict[str, Any] = {"timeout": 0.5, "patience": 20.0, "remember": 60.0}
_END_SECONDS = 90.0


def run(task: Task) -> Result:
    """Run a row; an error of the row itself is its failure."""
    result, began = Result(task), monotonic()
    try:
        with tempfile.TemporaryDirectory(prefix="coord-torture-") as place:
            _run(task, result, Path(place))
    except Exception:
        result.failure = traceback.format_exc()[-3000:]
    result.seconds = monotonic() - began
    return result


def _run(task: Task, result: Result, place: Path) -> None:
    (fault_of_row,) = (row.fault for row in ROWS if row.name == task.row)
    fault = fault_of_row(engines()[task.engine], task.seed)
    try:
        orders = Orders(fault.url, place, task.workers, task.lanes, task.seed, task.only, OPTIONS)
        crew = fault.crew = Crew(orders)
        try:
            _torture(task, fault, crew)
            fault.calm()
            wrong = crew.stop(_END_SECONDS)
        finally:
            crew.end()
        stopped = monotonic()
        # Whatever nobody renews has ended by then.
        time.sleep(LONGEST_TTL + 0.3)
        with dialled(coord.connect, fault.direct, patience=20) as c:
            seen = _seen(c, fault, place)
            seen.stopped, seen.killed = stopped, crew.killed > 0
            result.met = fault.met(seen)
            _count(result, seen, [*findings(seen), *(Finding("left", text) for text in wrong)], bool(task.may_lose))
    finally:
        fault.close()


def _torture(task: Task, fault: Fault, crew: Crew) -> None:
    """Strike until there were enough operations and faults, or the time is over."""
    _wait(crew, 2 * task.workers, 60)
    end = monotonic() + task.seconds
    while monotonic() < end:
        if not crew.are_alive():
            raise RuntimeError("a worker ended by itself")
        fault.strike()
        fault.strikes += 1
        time.sleep(fault.pause)
        if crew.progress.total() >= task.operations and fault.made() >= task.least:
            break


def _wait(crew: Crew, calls: int, seconds: float) -> None:
    end = monotonic() + seconds
    while crew.progress.total() < calls and monotonic() < end:
        time.sleep(0.01)


def _seen(c: coord.Coordinator, fault: Fault, place: Path) -> Seen:
    seen = Seen(c, fault.nodes(), outages=fault.outages)
    for file in sorted(place.glob("*.journal")):
        for entry in read(file):
            if isinstance(entry, Record):
                seen.records.append(entry)
            else:
                seen.facts.append(entry)
    return seen


def _count(result: Result, seen: Seen, found: list[Finding], may_lose: bool) -> None:
    for node in seen.look:
        found += (Finding("no TTL", f"{key} never expires") for key in leaked_keys(node, prefix="coord:"))
    result.operations = sum(record.outcome != "" for record in seen.records)
    result.unknown = sum(record.is_open for record in seen.records)
    result.cpu += sum(fact.value for fact in seen.facts if fact.what == "cpu")
    result.families.update(record.family for record in seen.records)
    for each in found:
        result.counts[each.column] += each.count
        if not (each.by_loss and may_lose):
            result.broken.append(f"{each.column}: {each.text}")
