"""The command line, ``coord COMMAND``. Each command is a module or package of its name."""

from __future__ import annotations

import argparse
import os
import sys
from functools import partial
from typing import TYPE_CHECKING

from coord import __version__
from coord.cli import doctor, ls, script, show, watch
from coord.cli.arguments import Parser, without_login
from coord.errors import CoordError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

_COMMANDS = (doctor, ls, show, watch, script)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code: 2 if it could not run, 130 if it was interrupted."""
    args = _parser().parse_args(argv)
    try:
        code: int = args.run(args)
        sys.stdout.flush()
    except CoordError as error:
        print(f"coord: {without_login(str(error))}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("coord: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader has closed the pipe, as head does. Without this, Python would report it again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return code


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="coord",
        description="Inspect the servers of coord, and write scripts of your own.",
        epilog="coord COMMAND --help explains a command. Without a URL, commands use $COORD_DSN.",
    )
    parser.add_argument("--version", action="version", version=f"coord {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    parser.set_defaults(run=partial(_print_help, parser))
    for command in _COMMANDS:
        command.declare(commands)
    return parser


def _print_help(parser: argparse.ArgumentParser, _: argparse.Namespace) -> int:
    parser.print_help(sys.stderr)
    return 2
