"""The arguments of ``ls`` and ``watch`` that select what is listed."""

from __future__ import annotations

import argparse

from coord.cli.arguments import URL_HELP, add_prefix, at_least
from coord.cli.entities.reading import Wanted

__all__ = ["add_choice", "chosen"]

PATTERN_HELP = "names, or ids of statistics: * stands for anything, ? for one character, [ab] for one of some"
KIND_HELP = (
    "only of this kind, and may be given again: claim, once, version, stats, barrier, request, kv, "
    "or what scripts of your own put after the prefix"
)


def add_choice(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that say where to look, and for what."""
    parser.add_argument("pattern", nargs="?", default="*", metavar="PATTERN", help=PATTERN_HELP)
    parser.add_argument("--url", metavar="URL", help=URL_HELP)
    add_prefix(parser)
    parser.add_argument("--kind", action="append", default=[], metavar="KIND", help=KIND_HELP)
    parser.add_argument(
        "--limit", type=at_least(1), default=1000, metavar="N", help="how many to list at most (default: 1000)"
    )


def chosen(args: argparse.Namespace) -> Wanted:
    """Return what the arguments ask for."""
    return Wanted(args.pattern, frozenset(args.kind), args.limit)
