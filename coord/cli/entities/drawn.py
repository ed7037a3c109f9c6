"""The table of ``coord watch``, drawn by rich."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from coord.cli.entities.shown import HEAD, Show, row

if TYPE_CHECKING:
    from coord.cli.entities.reading import Listing

__all__ = ["drawn"]


@contextmanager
def drawn() -> Generator[Show]:
    """Draw each table in place of the one before; the last one stays."""
    with Live(Text("connecting ..."), console=Console(highlight=False), auto_refresh=False) as live:

        def show(title: str, listing: Listing) -> None:
            live.update(Group(Text(title, style="bold"), _table(listing)), refresh=True)

        yield show


def _table(listing: Listing) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for head in HEAD:
        table.add_column(head, justify="right" if head == "ENDS IN" else "left")
    for entity in listing.entities:
        table.add_row(*map(Text, row(entity)))
    return table
