"""``coord script show``: the text that a server is sent, its SHA and its cost."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from coord.cli.script.find import read_script
from coord.errors import ConfigError
from coord.script import Script, all_scripts

__all__ = ["declare"]


def declare(commands: Any) -> None:
    """Add this command to the parser's commands."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "show",
        help="print a script as a server is sent it, with its SHA and cost",
        description="Prints what a script is called with, its SHA (as in SCRIPT EXISTS, SLOWLOG and MONITOR), its "
        "cost, and its text with every include in place.",
    )
    parser.add_argument("script", metavar="NAME", help="one of coord's scripts, such as claim, or a .lua file")
    parser.set_defaults(run=_show)


def _show(args: argparse.Namespace) -> int:
    script = _found(args.script)
    header = script.header
    rows = [("script", f"{script.name}, {script.file}"), ("sha", script.sha)]
    if header:
        keys = " ".join(key.word for key in header.keys)
        argv = " ".join(f"{each.word}..." if each.repeats else each.word for each in header.argv)
        rows += [("keys", keys or "none"), ("argv", argv or "none"), ("cost", header.cost), ("repeat", header.repeat)]
    rows.append(("size", f"{len(script.source.encode()):,} bytes, sent once to each server"))
    for name, value in rows:
        print(f"{name:<7} {value}")
    print(f"\n{script.source}", end="")
    return 0


def _found(name: str) -> Script:
    for script in all_scripts():
        if script.name == name:
            return script
    if not name.endswith(".lua"):
        raise ConfigError(f"coord has no script {name!r}: give one of its names (coord script show claim), or a file")
    return read_script(Path(name))
