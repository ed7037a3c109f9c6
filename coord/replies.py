"""Replies of scripts as Python values. A reply that coord's scripts cannot give raises ``Corrupt``."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from coord.errors import Corrupt
from coord.names import INT64_MAX, INT64_MIN

__all__ = ["as_count", "as_nothing", "as_text", "reads"]

T = TypeVar("T")

_is_integer = re.compile(r"0|-?[1-9][0-9]{0,18}").fullmatch


def as_count(reply: Any) -> int:
    """Return a count, which travels as an integer or in digits."""
    if reply.__class__ is int:
        return int(reply)
    if isinstance(reply, str) and _is_integer(reply) and INT64_MIN <= (count := int(reply)) <= INT64_MAX:
        return count
    raise Corrupt(f"the server answered {_shortened(reply)} instead of a 64-bit integer: coord did not write the key")


def as_nothing(_: object) -> None:
    """Return nothing, whatever the reply."""
    return


def as_text(reply: Any) -> str:
    """Return a text."""
    if isinstance(reply, str):
        return reply
    raise Corrupt(f"the server answered {_shortened(reply)} instead of a text: coord did not write the key")


def reads(read: Callable[[Any], T]) -> Callable[[Any], T]:
    """Decorate a function that takes a reply apart: a reply of another shape raises ``Corrupt``."""

    @wraps(read)
    def checked(reply: Any) -> T:
        try:
            return read(reply)
        except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
            raise Corrupt(f"the server answered {_shortened(reply)}, which no script of coord returns") from error

    return checked


def _shortened(reply: object) -> str:
    return reprlib.repr(reply)[:80]
