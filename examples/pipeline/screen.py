"""What the demo prints: on a terminal a table that is redrawn in place, elsewhere a line a second."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator

from examples.pipeline.environment import COUNTS, Snapshot
from examples.pipeline.load import LEASE, MODELS, PRODUCERS, REDELIVERY, STALL, Load

GOOD, BAD, PLAIN = "\x1b[32m", "\x1b[1;31m", "\x1b[0m"


def introduction(load: Load, place: str, *, in_processes: bool) -> str:
    """Say what is about to happen."""
    how = "processes, killed by SIGKILL" if in_processes else "threads; a killed one stops and releases nothing"
    return f"""\
{PRODUCERS} producers enqueue {load.total:,} updates, {load.updates:,} for each of {load.documents:,} documents.
{load.workers} workers have a model work on each, which takes {MODELS} calls at once, and write the result to a store,
which must hold the newest of each document at the end.
The queue delivers out of order, some twice, and again after {REDELIVERY:g} s without acknowledgement.
{load.workers // 2} workers are killed half-way. One stalls for {STALL:g} s while its claim lasts {LEASE:g} s.
The workers are {how}.
The state is kept on {place}.
"""


class Live:
    """Shows a run while it goes on."""

    def __init__(self, title: str, load: Load) -> None:
        self._load = load
        self._terminal = sys.stdout.isatty()
        self._drawn = self._second = 0
        print(f"{title}:", flush=True)

    def show(self, now: Snapshot, seconds: float, *, last: bool = False) -> None:
        """Show how far the run has come after so many seconds."""
        done, total = now.settled, self._load.total
        line = f"  {seconds:4.1f} s  {done:,} of {total:,} updates settled, {now.killed} workers killed"
        if self._terminal:
            counts = {**now.truth, "rejected": now.refused, "doubled": now.doubled}
            bar = "#" * (40 * done // total)
            states = Counter(state for name, state in now.states.items() if name.startswith("worker"))
            workers = ", ".join(f"{count} {state}" for state, count in sorted(states.items()))
            rows = [line, f"  [{bar:<40}]", "".join(f"{name:>12}" for name in counts)]
            rows += ["".join(f"{count:>12,}" for count in counts.values()), f"  workers: {workers}"]
            print(f"\x1b[{self._drawn}A" * bool(self._drawn) + "".join(f"\x1b[2K{row}\n" for row in rows), end="")
            self._drawn = len(rows)
        elif last or int(seconds) > self._second:
            self._second = int(seconds)
            print(line, flush=True)
        if last:
            print(flush=True)


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
        said += "\n" + (lucky if naive.lost + naive.doubled + naive.miscounted == 0 else f"Naive: {_damage(naive)}.")
    return said


def _damage(now: Snapshot) -> str:
    return (
        f"{now.lost:,} documents lost their newest update, {now.doubled:,} updates were written twice,\n"
        f"and the counts are off by {now.miscounted:,} in all"
    )


def _rows(runs: list[Snapshot]) -> Iterator[tuple[str, ...]]:
    for count in COUNTS:
        yield count, *(f"{n:,}" for now in runs for n in (now.counted[count], now.truth[count]))
    # Only the first run, the one with coord, waits for its requests and its barrier.
    yield "waited for", f"{runs[0].counted['awaited']:,}", f"{runs[0].truth['enqueued']:,}"
    yield "barrier completed", f"{runs[0].counted['completed']:,}", "1"
    for label, field in (
        (f"calls at once ({MODELS})", "at_once"),
        ("killed workers", "killed"),
        ("writes rejected", "refused"),
        ("lost", "lost"),
        ("doubled", "doubled"),
    ):
        yield label, *(cell for now in runs for cell in ("", f"{getattr(now, field):,}"))


def _cell(label: str, counted: str, true: str) -> str:
    cell = f"{counted:>14}{true:>12}"
    if not sys.stdout.isatty() or not (counted or label in ("lost", "doubled")):
        return cell
    return f"{GOOD if true == (counted or '0') else BAD}{cell}{PLAIN}"
