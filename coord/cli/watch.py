"""``coord watch``: what lives under a prefix, again and again."""

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
from coord.cli.entities.reading import Listing, Place, Wanted
from coord.cli.entities.shown import Picture, table
from coord.cli.place import server_url
from coord.cli.selection import add_choice, chosen
from coord.errors import OutcomeUnknown, Unavailable
from coord.names import printable

__all__ = ["declare"]

_CLEAR = "\x1b[H\x1b[2J"


def declare(commands: Any) -> None:
    """Add this command to the parser's commands."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "watch",
        help="list what lives on a server, again and again",
        description="Shows what ls lists, and shows it again every two seconds until Ctrl-C. Where the server is "
        "away for a while, it says so and goes on. With rich (pip install 'coord[watch]') the table is drawn; into a "
        "pipe or a file, one table is printed after the other.",
        epilog="Exit code: 0 after Ctrl-C; 2 when the server could not be reached to begin with.",
    )
    add_choice(parser)
    parser.add_argument(
        "--every", type=_seconds, default=2.0, metavar="SECONDS", help="how long to wait in between (default: 2)"
    )
    parser.add_argument("--times", type=at_least(1), metavar="N", help="end by itself after so many tables")
    parser.set_defaults(run=_watch)


def _seconds(text: str) -> float:
    value = float(text)
    if not 0.1 <= value <= 86_400:
        raise argparse.ArgumentTypeError("from 0.1 to 86400")
    return value


def _watch(args: argparse.Namespace) -> int:
    # Ctrl-C is how one ends it: no error, wherever it strikes.
    try:
        with closing(Place(server_url(args.url, args.prefix), args.prefix)) as place, _screen() as picture:
            for number in itertools.count(1):
                _look(place, chosen(args), picture)
                if number == args.times:
                    break
                time.sleep(args.every)
    except KeyboardInterrupt:
        print()
    return 0


def _look(place: Place, wanted: Wanted, picture: Picture) -> None:
    try:
        listing = place.living(wanted)
    except (Unavailable, OutcomeUnknown) as error:
        picture(f"{time.strftime('%X')}  {printable(str(error))}", Listing([], more=False))
        return
    count = f"{len(listing.entities):,}{' and more' if listing.more else ''}"
    picture(f"{time.strftime('%X')}  {place}, {count} alive", listing)


def _screen() -> AbstractContextManager[Picture]:
    if sys.stdout.isatty() and find_spec("rich"):
        return cast("AbstractContextManager[Picture]", import_module("coord.cli.entities.drawn").drawn())
    return _plain()


@contextmanager
def _plain() -> Generator[Picture]:
    """Print tables, each on a clean screen where there is one."""
    is_screen = sys.stdout.isatty()

    def show(title: str, listing: Listing) -> None:
        lines = [title, "", *table(listing.entities)] if listing.entities else [title]
        if is_screen:
            most = shutil.get_terminal_size().lines - 1
            print(_CLEAR + "\n".join(lines[:most]), flush=True)
        else:
            print("\n".join(lines), end="\n\n", flush=True)

    yield show
