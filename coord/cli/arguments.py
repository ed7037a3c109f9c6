"""What the commands' arguments have in common."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from coord.config import ENVIRONMENT

__all__ = ["URL_HELP", "add_prefix", "at_least"]

URL_HELP = (
    "a server, a Sentinel service or a cluster: redis://user:password@host:port/db, "
    f"redis+sentinel://h:p,h:p/service, redis+cluster://h:p,h:p and the like (default: ${ENVIRONMENT})"
)


def add_prefix(parser: argparse.ArgumentParser) -> None:
    """Add the option that says which keys are meant."""
    parser.add_argument(
        "--prefix", default="coord:", metavar="TEXT", help="what opens every key, as in connect (default: coord:)"
    )


def at_least(least: int) -> Callable[[str], int]:
    """Return the type of an argument that is a whole number, and not too small."""

    def number(text: str) -> int:
        value = int(text)
        if value < least:
            raise argparse.ArgumentTypeError(f"at least {least}")
        return value

    return number
