"""``coord script``: ``new`` begins a script of one's own, ``check`` reads scripts and says what is wrong."""

from __future__ import annotations

import argparse
from typing import Any

from coord.cli.script import check, new

__all__ = ["declare"]


def declare(commands: Any) -> None:
    """Add this command, with commands of its own, to the parser's commands."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "script",
        help="begin a script of your own, or check some",
        description="A script of your own is a file of Lua and a twin in Python, told in the same words: it runs on "
        "every backend, as coord's own do. docs/guide.md says how, CONTRIBUTING.md has the grammar of the header.",
    )
    inner = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    new.declare(inner)
    check.declare(inner)
