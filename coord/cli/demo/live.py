"""The demo drawn with rich."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from coord.cli.demo.table import HEAD, Row, Show, rows
from coord.cli.demo.truth import Proof, doubled

if TYPE_CHECKING:
    from collections.abc import Generator

    from coord.cli.demo.load import Load
    from coord.cli.demo.world import World

__all__ = ["Drawn"]

_COLOURS = {"killed": "bold red", "stalled": "yellow", "running": "green"}
_BAD = ("lost", "doubled")


class Drawn:
    """A screen that redraws itself."""

    def __init__(self) -> None:
        self._console = Console(highlight=False)

    @contextlib.contextmanager
    def watch(self, title: str, load: Load) -> Generator[Show]:
        """Draw a run while it goes on; its last picture stays."""
        with Live(Text("starting …"), console=self._console, auto_refresh=False) as live:

            def show(world: World, seconds: float) -> None:
                live.update(_picture(title, load, world, seconds), refresh=True)

            yield show
        self._console.print()

    def compare(self, proofs: list[Proof]) -> None:
        """Draw the comparison."""
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for place, head in enumerate(HEAD[: 1 + 2 * len(proofs)]):
            whose = "" if place == 0 else "with coord\n" if place < 3 else "naive\n"
            table.add_column(whose + head, justify="right" if place else "left")
        for row in rows(proofs):
            table.add_row(*_coloured(row))
        self._console.print(table)


def _coloured(row: Row) -> list[Text]:
    """Red where the count is not the truth or something was lost; green where it is right."""
    label, *cells = row
    drawn = [Text(label)]
    for counted, true in zip(cells[::2], cells[1::2], strict=True):
        if counted:
            drawn += Text(counted, style="green" if counted == true else "bold red"), Text(true)
        elif label in _BAD:
            drawn += Text(), Text(true, style="bold green" if true == "0" else "bold red")
        else:
            drawn += Text(), Text(true)
    return drawn


def _picture(title: str, load: Load, world: World, seconds: float) -> Group:
    return Group(
        Text(title, style="bold"),
        _bar(load, world, seconds),
        _counts(world),
        _crew(world),
    )


def _bar(load: Load, world: World, seconds: float) -> Table:
    settled = world.queue.settled
    grid = Table.grid(padding=(0, 2))
    grid.add_row(
        ProgressBar(total=load.total, completed=settled, width=40),
        f"{settled:,} of {load.total:,} updates settled",
        f"{seconds:.1f} s",
    )
    return grid


def _counts(world: World) -> Table:
    queue, store = world.queue, world.store
    again = doubled(world)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for head in ("enqueued", "delivered", "copies", "redelivered", "worked", "doubled", "late writes refused"):
        table.add_column(head, justify="right")
    numbers = (queue.enqueued, queue.delivered, queue.repeats, queue.redelivered, len(store.effects) - again)
    table.add_row(
        *(f"{n:,}" for n in numbers),
        Text(f"{again:,}", style="bold red" if again else "green"),
        f"{store.refused:,}",
    )
    return table


def _crew(world: World) -> Table:
    grid = Table.grid(padding=(0, 3))
    for name in world.workers:
        state = world.roster.states[name]
        grid.add_row(name, Text(state, style=_COLOURS.get(state, "dim")), f"{world.queue.by_worker[name]:,} deliveries")
    return grid
