"""The arguments of ``ls``, ``show`` and ``watch`` that select what is listed."""

from __future__ import annotations

import argparse
import sys

from coord.cli.arguments import add_prefix, add_url, at_least, url_and_word
from coord.cli.entities.declared import import_families
from coord.cli.entities.kinds import KINDS
from coord.cli.entities.reading import Query
from coord.family import family_of

__all__ = ["add_families", "add_selection", "hint_at_kinds", "selected"]


def add_selection(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that select entities."""
    add_url(parser)
    parser.add_argument(
        "pattern",
        nargs="?",
        metavar="PATTERN",
        help="list only names, or ids of statistics, that match: * is any text, ? any character, [ab] one of these",
    )
    add_prefix(parser)
    parser.add_argument(
        "--kind",
        action="append",
        default=[],
        metavar="KIND",
        help=f"list only this kind, may be repeated: {', '.join(KINDS)}, or that of a script of your own",
    )
    add_families(parser)
    parser.add_argument(
        "--limit", type=at_least(1), default=1000, metavar="N", help="list at most N entities (default: 1000)"
    )


def add_families(parser: argparse.ArgumentParser) -> None:
    """Add the argument that imports the families of a user's package."""
    parser.add_argument(
        "--import",
        dest="families",
        action="append",
        default=[],
        metavar="MODULE",
        help="import a module, such as shop.tokens, whose families read their own kinds; may be repeated. "
        "Modules that installed packages name under the entry points coord.families are imported anyway",
    )


def selected(args: argparse.Namespace) -> tuple[str | None, Query]:
    """Import the families; return the URL, None if there is none, and the query."""
    import_families(args.families)
    url, pattern = url_and_word(args, args.pattern)
    return url, Query("*" if pattern is None else pattern, frozenset(args.kind), args.limit)


def hint_at_kinds(query: Query) -> None:
    """Name the kinds, if the query asks for another one."""
    if unknown := sorted(kind for kind in query.kinds - set(KINDS) if family_of(kind) is None):
        print(f"coord: {', '.join(unknown)} is none of coord's kinds: {', '.join(KINDS)}", file=sys.stderr)
