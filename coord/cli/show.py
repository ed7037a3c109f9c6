"""``coord show``: show everything about one name."""

from __future__ import annotations

import argparse
import sys
from contextlib import closing
from typing import Any

from coord.cli.arguments import add_prefix, add_url
from coord.cli.entities.declared import import_families
from coord.cli.entities.reading import Inventory, Query
from coord.cli.entities.shown import as_json, full
from coord.cli.selection import add_families
from coord.cli.servers import server_url
from coord.errors import ConfigError
from coord.names import check_name

__all__ = ["declare"]


def declare(commands: Any) -> None:
    """Add this command to the parser's commands."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "show",
        help="show everything about one name: who holds it, what has arrived, what has failed",
        description="Show every entity of one name in full, with error messages, metadata and counts. Nothing changes.",
        epilog="Exit code: 0; 1 if nothing has that name; 2 if the server could not be read.",
    )
    add_url(parser)
    parser.add_argument("name", metavar="NAME", help="the name as given to coord, or the id of statistics")
    add_prefix(parser)
    add_families(parser)
    parser.add_argument("--json", action="store_true", help="print a JSON array")
    parser.set_defaults(run=_show)


def _show(args: argparse.Namespace) -> int:
    try:
        check_name(args.name, "NAME")
    except (TypeError, ValueError) as error:
        # argparse before 3.13 makes a list of the words `-- --`.
        raise ConfigError(str(error)) from None
    import_families(args.families)
    with closing(Inventory(server_url(args.url or args.url_option, args.prefix), args.prefix)) as inventory:
        entities, _ = inventory.find(Query(args.name, exactly=True))
    if args.json:
        print(as_json(entities))
    elif entities:
        print("\n\n".join("\n".join(full(entity)) for entity in entities))
    else:
        print(f"coord: nothing under {args.prefix!r} has the name {args.name!r}", file=sys.stderr)
    return 0 if entities else 1
