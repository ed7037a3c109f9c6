"""``coord script``: begin a script of your own, check scripts, show one, print the grammar of headers."""

from __future__ import annotations

import argparse
from typing import Any

from coord.cli.script import check, new, show
from coord.script import grammar

__all__ = ["declare"]


def declare(commands: Any) -> None:
    """Add this command, with commands of its own, to the parser's commands."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "script",
        help="begin, check and show scripts of your own",
        description="A script of your own is a file of Lua and a twin in Python with the same words; it runs on every "
        "backend, as coord's own scripts do. The grammar of its header is below.",
        epilog=grammar(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    inner = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    new.declare(inner)
    check.declare(inner)
    show.declare(inner)
    printer: argparse.ArgumentParser = inner.add_parser("grammar", help="print the grammar of headers")
    printer.set_defaults(run=_print_grammar)


def _print_grammar(_args: argparse.Namespace) -> int:
    print(grammar(), end="")
    return 0
