"""``coord watch``: list the entities under a prefix, again and again."""

from __future__ import annotations

import argparse
import itertools
import shutil
import sys
import time
from collections.abc import Generator
from contextlib import AbstractContextManager, closing, contextmanager
from importlib import import_module
from importlib.util import find_spec
from typing import Any, cast

from coord.cli.arguments import at_least
from coord.cli.entities.reading import Inventory, Listing, Query
from coord.cli.entities.shown import Show, table
from coord.cli.selection import add_selection, selected
from coord.cli.servers import server_url
from coord.errors import OutcomeUnknown, Unavailable
from coord.names import printable

__all__ = ["declare"]

_CLEAR = "\x1b[H\x1b[2J"


def declare(commands: Any) -> None:
    """Add this command to the parser's commands."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "watch",
        help="list again and again, until Ctrl-C",
        description="List what ls lists, every two seconds until Ctrl-C. If the server goes away, say so and continue. "
        "With rich (pip install 'coord[watch]') the table is drawn in place; in a pipe, tables follow each other.",
        epilog="Exit code: 0 after Ctrl-C; 2 if the server could not be reached at the start.",
    )
    add_selection(parser)
    parser.add_argument(
        "--every", type=_seconds, default=2.0, metavar="SECONDS", help="seconds between two tables (default: 2)"
    )
    parser.add_argument("--times", type=at_least(1), metavar="N", help="stop after N tables")
    parser.set_defaults(run=_watch)


def _seconds(text: str) -> float:
    value = float(text)
    if not 0.1 <= value <= 86_400:
        raise argparse.ArgumentTypeError("must be from 0.1 to 86400")
    return value


def _watch(args: argparse.Namespace) -> int:
    url, query = selected(args)
    # Ctrl-C is the normal way to stop: no error.
    try:
        with closing(Inventory(server_url(url, args.prefix), args.prefix)) as inventory, _screen() as show:
            for number in itertools.count(1):
                _look(inventory, query, show)
                if number == args.times:
                    break
                time.sleep(args.every)
    except KeyboardInterrupt:
        print()
    return 0


def _look(inventory: Inventory, query: Query, show: Show) -> None:
    try:
        listing = inventory.find(query)
    except (Unavailable, OutcomeUnknown) as error:
        show(f"{time.strftime('%X')}  {printable(str(error))}", Listing([], more=False))
        return
    count = f"{len(listing.entities):,}{' and more' if listing.more else ''}"
    show(f"{time.strftime('%X')}  {', '.join(inventory.nodes)}: {count} found", listing)


def _screen() -> AbstractContextManager[Show]:
    if sys.stdout.isatty() and find_spec("rich"):
        return cast("AbstractContextManager[Show]", import_module("coord.cli.entities.drawn").drawn())
    return _plain()


@contextmanager
def _plain() -> Generator[Show]:
    """Print tables; on a terminal, each clears the one before."""
    is_screen = sys.stdout.isatty()

    def show(title: str, listing: Listing) -> None:
        lines = [title, "", *table(listing.entities)] if listing.entities else [title]
        if is_screen:
            most = shutil.get_terminal_size().lines - 1
            print(_CLEAR + "\n".join(lines[:most]), flush=True)
        else:
            print("\n".join(lines), end="\n\n", flush=True)

    yield show
