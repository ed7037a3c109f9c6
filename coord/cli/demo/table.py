"""What the demo shows: while it runs, and at the end. Plain lines here; ``live`` draws, where rich is installed."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Protocol, cast

from coord.cli.demo.truth import COUNTS, Proof
from coord.cli.demo.world import World

if TYPE_CHECKING:
    from coord.cli.demo.load import Load

__all__ = ["HEAD", "Plain", "Row", "Screen", "Show", "rows", "screen"]

Show = Callable[[World, float], None]
"""Show how far a run has come after so many seconds."""

Row = tuple[str, ...]

HEAD: Row = ("", "counted by workers", "truth", "counted by workers", "truth")
_EVERY = 1.0


class Screen(Protocol):
    """Where the demo is watched."""

    def watch(self, title: str, load: Load) -> AbstractContextManager[Show]:
        """Show a run while it goes on."""
        ...

    def compare(self, proofs: list[Proof]) -> None:
        """Show the proof beside the truth: with coord, and naive if that has run."""
        ...


def screen() -> Screen:
    """Return a drawn screen where rich is installed and somebody looks at it, else plain lines."""
    if sys.stdout.isatty() and find_spec("rich"):
        return cast("Screen", import_module("coord.cli.demo.live").Drawn())
    return Plain()


def rows(proofs: list[Proof]) -> Iterator[Row]:
    """Yield the lines of the comparison: two columns for each run."""
    for count in COUNTS:
        yield count, *(f"{n:,}" for proof in proofs for n in (proof.counted[count], proof.truth[count]))
    # Only the first run, the one with coord, waits and is called back.
    ours, nothing = proofs[0], ("", "") * (len(proofs) - 1)
    yield "waited for", f"{ours.awaited:,}", f"{ours.truth['enqueued']:,}", *nothing
    yield "barrier callbacks", f"{ours.callbacks:,}", "1", *nothing
    for label, each in (
        ("killed workers", [proof.killed for proof in proofs]),
        ("late writes refused", [proof.refused for proof in proofs]),
        ("statistics taken by", [proof.reports for proof in proofs]),
        ("lost", [proof.lost for proof in proofs]),
        ("doubled", [proof.doubled for proof in proofs]),
    ):
        yield label, *(cell for n in each for cell in ("", f"{n:,}"))


class Plain:
    """Lines, one a second; for logs, pipes, and where rich is not installed."""

    @contextlib.contextmanager
    def watch(self, title: str, load: Load) -> Generator[Show]:
        """Print a line a second while a run goes on."""
        print(f"{title}:", flush=True)
        due, line = _EVERY, ""

        def show(world: World, seconds: float) -> None:
            nonlocal due, line
            line = f"  {seconds:4.1f} s  {_progress(world, load)}"
            if seconds >= due:
                due = seconds + _EVERY
                print(line, flush=True)

        yield show
        print(f"{line}\n", flush=True)

    def compare(self, proofs: list[Proof]) -> None:
        """Print the comparison as aligned columns."""
        width = 32
        print(" " * 20 + "".join(f"{title:>{width}}" for title in ("with coord", "naive")[: len(proofs)]))
        for label, *cells in (HEAD[: 1 + 2 * len(proofs)], *rows(proofs)):
            wide = "".join(f"{cell:>{(width - 10, 10)[place % 2]}}" for place, cell in enumerate(cells))
            print(f"{label:<20}{wide}")


def _progress(world: World, load: Load) -> str:
    blows = world.roster.blows
    return (
        f"{world.queue.settled:,} of {load.total:,} updates settled, {len(world.store.effects):,} worked, "
        f"{blows.count('killed')} workers killed"
    )
