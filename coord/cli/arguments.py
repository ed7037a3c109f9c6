"""Arguments that several commands have."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from typing import NoReturn

from coord.urls import ENVIRONMENT, is_url

__all__ = ["Parser", "add_prefix", "add_url", "at_least", "url_and_word", "without_login"]

_URL_HELP = (
    "redis://user:password@host:port/db, redis+sentinel://h:p,h:p/service, redis+cluster://h:p,h:p and so on "
    f"(default: ${ENVIRONMENT})"
)


# A path turns // into /.
_LOGIN = re.compile(r":/+\S*@")


def without_login(text: str) -> str:
    """Return a message without the user and the password of a URL in it."""
    return _LOGIN.sub("://...@", text)


class Parser(argparse.ArgumentParser):
    """A parser whose errors quote no password; those of its commands are of the same class."""

    def error(self, message: str) -> NoReturn:
        """Print usage and message, and exit with 2."""
        super().error(without_login(message))


def add_url(parser: argparse.ArgumentParser) -> None:
    """Add the URL of a server, as the first argument or as an option."""
    parser.add_argument("url", nargs="?", metavar="URL", help=_URL_HELP)
    parser.add_argument("--url", dest="url_option", metavar="URL", help="the URL as an option")


def url_and_word(args: argparse.Namespace, word: str | None) -> tuple[str | None, str | None]:
    """Return the URL and the word that follows it; with one argument, it is the URL only if it looks like one."""
    if args.url is not None and word is None and (args.url_option is not None or not is_url(args.url)):
        return args.url_option, args.url
    return args.url if args.url is not None else args.url_option, word


def add_prefix(parser: argparse.ArgumentParser) -> None:
    """Add the prefix of the keys."""
    parser.add_argument(
        "--prefix", default="coord:", metavar="TEXT", help="the prefix of all keys, as in connect (default: coord:)"
    )


def at_least(least: int) -> Callable[[str], int]:
    """Return the type of an argument: an integer of at least ``least``."""

    def number(text: str) -> int:
        value = int(text)
        if value < least:
            raise argparse.ArgumentTypeError(f"must be at least {least}")
        return value

    return number
