"""The command line: ``coord COMMAND``; each command is a module, or a package, of its name."""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING

from coord import __version__
from coord.cli import doctor, ls, script, show, watch
from coord.errors import CoordError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

_COMMANDS = (doctor, ls, show, watch, script)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code: 2 when it could not run, 130 when it was interrupted."""
    args = _parser().parse_args(argv)
    try:
        code: int = args.run(args)
        sys.stdout.flush()
    except CoordError as error:
        print(f"coord: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("coord: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # Who read has seen enough, as head does; Python would complain once more when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="coord", description="Compound operations for services that run as many instances."
    )
    parser.add_argument("--version", action="version", version=f"coord {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in _COMMANDS:
        command.declare(commands)
    return parser
