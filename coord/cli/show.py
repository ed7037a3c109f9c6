"""``coord show``: all that is known of one name."""

from __future__ import annotations

import argparse
import sys
from contextlib import closing
from typing import Any

from coord.cli.arguments import URL_HELP, add_prefix
from coord.cli.entities.reading import Place, Wanted
from coord.cli.entities.shown import as_json, full
from coord.cli.place import server_url
from coord.errors import ConfigError
from coord.names import check_name

__all__ = ["declare"]


def declare(commands: Any) -> None:
    """Add this command to the parser's commands."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "show",
        help="show everything of one name: who holds it, what has arrived, what has failed",
        description="Shows all that lives under one name, of every kind, with what ls has no room for: the messages "
        "of what failed, metadata, counts. Nothing changes by it.",
        epilog="Exit code: 0, or 1 when nothing of that name lives; 2 when the server could not be asked.",
    )
    parser.add_argument("name", metavar="NAME", help="the name as it was given to coord; for statistics, or the id")
    parser.add_argument("--url", metavar="URL", help=URL_HELP)
    add_prefix(parser)
    parser.add_argument("--json", action="store_true", help="print a JSON array, for machines")
    parser.set_defaults(run=_show)


def _show(args: argparse.Namespace) -> int:
    try:
        check_name(args.name, "NAME")
    except ValueError as error:
        raise ConfigError(str(error)) from None
    with closing(Place(server_url(args.url, args.prefix), args.prefix)) as place:
        entities, _ = place.living(Wanted(args.name, exactly=True))
    if args.json:
        print(as_json(entities))
    elif entities:
        print("\n\n".join("\n".join(full(entity)) for entity in entities))
    else:
        print(f"coord: nothing of the name {args.name!r} lives under {args.prefix!r}", file=sys.stderr)
    return 0 if entities else 1
