"""What the demo prints: drawn with rich on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Generator, Iterator
from importlib.util import find_spec
from typing import Any

from examples.pipeline.load import LEASE, PRODUCERS, REDELIVERY, STALL, Load
from examples.pipeline.world import COUNTS, Snapshot

_COLOURS = {"killed": "bold red", "stalled": "yellow", "running": "green"}
_GOOD, _BAD, _PLAIN = "\x1b[32m", "\x1b[1;31m", "\x1b[0m"


def introduction(load: Load, place: str, *, in_processes: bool) -> str:
    """Say what is about to happen."""
    how = "processes, killed by SIGKILL" if in_processes else "threads; a killed one stops and releases nothing"
    return f"""\
{PRODUCERS} producers enqueue {load.total:,} updates, {load.updates:,} for each of {load.documents:,} documents.
{load.workers} workers write them to a store, which must hold the newest of each document at the end.
The queue delivers out of order, some twice, and again after {REDELIVERY:g} s without acknowledgement.
{load.workers // 2} workers are killed half-way. One stalls for {STALL:g} s while its claim lasts {LEASE:g} s.
The workers are {how}.
The state is kept on {place}.
"""


@contextlib.contextmanager
def watch(title: str, load: Load) -> Generator[Callable[[Snapshot, float], None]]:
    """Show a run while it goes on; yield the function that is told how far it has come."""
    if sys.stdout.isatty() and find_spec("rich"):
        from rich.live import Live  # noqa: PLC0415  # rich is optional

        with Live(auto_refresh=False) as live:
            yield lambda now, seconds: live.update(_picture(title, load, now, seconds), refresh=True)
        print()
        return
    print(f"{title}:", flush=True)
    shown, line = 0, ""

    def show(now: Snapshot, seconds: float) -> None:
        nonlocal shown, line
        line = f"  {seconds:4.1f} s  {now.settled:,} of {load.total:,} updates settled, {now.killed} workers killed"
        if int(seconds) > shown:
            shown = int(seconds)
            print(line, flush=True)

    yield show
    print(f"{line}\n", flush=True)


def compare(runs: list[Snapshot]) -> None:
    """Print what the workers counted beside the truth, for each run."""
    print(" " * 18 + "".join(f"{name:>26}" for name in ("with coord", "naive")[: len(runs)]))
    print(" " * 18 + f"{'counted':>14}{'truth':>12}" * len(runs))
    for label, *cells in _rows(runs):
        wide = "".join(_cell(label, cells[at], cells[at + 1]) for at in range(0, len(cells), 2))
        print(f"{label:<18}{wide}".rstrip())


def conclusion(runs: list[Snapshot]) -> str:
    """Say what was shown."""
    ours, *rest = runs
    said = "With coord nothing was lost, nothing was doubled, and all counts are right."
    if not ours.holds:
        said = f"With coord {_damage(ours)}: this is a bug in coord."
    for naive in rest:
        lucky = "The naive code was lucky this time: try another --seed, or more --workers."
        said += "\n" + (lucky if not (naive.lost + naive.doubled + naive.miscounted) else f"Naive: {_damage(naive)}.")
    return said


def _damage(now: Snapshot) -> str:
    return (
        f"{now.lost:,} documents lost their newest update, {now.doubled:,} updates were written twice,\n"
        f"and the counts are off by {now.miscounted:,} in all"
    )


def _rows(runs: list[Snapshot]) -> Iterator[tuple[str, ...]]:
    for count in COUNTS:
        yield count, *(f"{n:,}" for now in runs for n in (now.counted[count], now.truth[count]))
    # Only the first run, the one with coord, waits and is called back.
    yield "waited for", f"{runs[0].counted['awaited']:,}", f"{runs[0].truth['enqueued']:,}"
    yield "barrier completed", f"{runs[0].counted['completed']:,}", "1"
    for label, values in (
        ("killed workers", [now.killed for now in runs]),
        ("writes rejected", [now.refused for now in runs]),
        ("lost", [now.lost for now in runs]),
        ("doubled", [now.doubled for now in runs]),
    ):
        yield label, *(cell for n in values for cell in ("", f"{n:,}"))


def _cell(label: str, counted: str, true: str) -> str:
    cell = f"{counted:>14}{true:>12}"
    if not sys.stdout.isatty() or not (counted or label in ("lost", "doubled")):
        return cell
    return f"{_GOOD if true == (counted or '0') else _BAD}{cell}{_PLAIN}"


def _picture(title: str, load: Load, now: Snapshot, seconds: float) -> Any:
    """Return the title, a progress bar, the counts, and the state of each worker, to be drawn by rich."""
    from rich import box, console, progress_bar, table, text  # noqa: PLC0415  # rich is optional

    bar = table.Table.grid(padding=(0, 2))
    progress = progress_bar.ProgressBar(total=load.total, completed=now.settled, width=40)
    bar.add_row(progress, f"{now.settled:,} of {load.total:,} updates settled", f"{seconds:.1f} s")
    counts = table.Table(box=box.SIMPLE_HEAD, pad_edge=False)
    numbers = {**now.truth, "writes rejected": now.refused, "doubled": now.doubled}
    for head in numbers:
        counts.add_column(head, justify="right")
    *cells, last = (f"{n:,}" for n in numbers.values())
    counts.add_row(*cells, text.Text(last, style="bold red" if now.doubled else "green"))
    workers = table.Table.grid(padding=(0, 3))
    for name, state in sorted(now.states.items()):
        done = f"{now.deliveries[name]:,} deliveries" if name in now.deliveries else ""
        workers.add_row(name, text.Text(state, style=_COLOURS.get(state, "dim")), done)
    return console.Group(text.Text(title, style="bold"), bar, counts, workers)
