"""``coord ls``: what lives under a prefix."""

from __future__ import annotations

import argparse
import sys
from contextlib import closing
from typing import Any

from coord.cli.entities.reading import Place
from coord.cli.entities.shown import as_json, table
from coord.cli.place import server_url
from coord.cli.selection import add_choice, chosen

__all__ = ["declare"]


def declare(commands: Any) -> None:
    """Add this command to the parser's commands."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "ls",
        help="list the claims, versions, counts, barriers and requests that live on a server",
        description="Lists what lives under a prefix, by SCAN, and reads it with coord's own operations: no value "
        "and no TTL changes. What comes or goes meanwhile may be listed or not.",
        epilog="Exit code: 0, also when nothing lives there; 2 when the server could not be asked. A user with the "
        "rights that coord needs wants +scan and +type besides.",
    )
    add_choice(parser)
    parser.add_argument("--json", action="store_true", help="print a JSON array, for machines")
    parser.set_defaults(run=_ls)


def _ls(args: argparse.Namespace) -> int:
    with closing(Place(server_url(args.url, args.prefix), args.prefix)) as place:
        entities, more = place.living(chosen(args))
    if args.json:
        print(as_json(entities))
    elif entities:
        print(*table(entities), sep="\n")
    else:
        print(f"coord: nothing lives under {args.prefix!r} that matches", file=sys.stderr)
    if more:
        print(f"coord: there are more than {len(entities):,}; --limit lists more of them", file=sys.stderr)
    return 0
