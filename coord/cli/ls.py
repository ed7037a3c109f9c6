"""``coord ls``: list the entities under a prefix."""

from __future__ import annotations

import argparse
import sys
from contextlib import closing
from typing import Any

from coord.cli.entities.reading import Inventory
from coord.cli.entities.shown import as_json, table
from coord.cli.selection import add_selection, hint_at_kinds, selected
from coord.cli.servers import server_url

__all__ = ["declare"]


def declare(commands: Any) -> None:
    """Add this command to the parser's commands."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "ls",
        help="list claims, versions, statistics, barriers and requests on a server",
        description="List the entities under a prefix. They are found by SCAN and read with coord's own operations: "
        "no value and no TTL changes. Entities that are created or deleted meanwhile may be missing.",
        epilog="Exit code: 0, also if nothing was found; 2 if the server could not be read. In addition to coord's own "
        "permissions, the user needs +scan +type.",
    )
    add_selection(parser)
    parser.add_argument("--json", action="store_true", help="print a JSON array")
    parser.set_defaults(run=_ls)


def _ls(args: argparse.Namespace) -> int:
    url, query = selected(args)
    with closing(Inventory(server_url(url, args.prefix), args.prefix)) as inventory:
        entities, more = inventory.find(query)
    if args.json:
        print(as_json(entities))
    elif entities:
        print(*table(entities), sep="\n")
    else:
        print(f"coord: nothing under {args.prefix!r} matches", file=sys.stderr)
        hint_at_kinds(query)
    if more:
        print(f"coord: there are more than {len(entities):,}; --limit lists more of them", file=sys.stderr)
    return 0
