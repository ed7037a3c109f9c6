"""One call of a script, as a value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, NamedTuple, TypeVar

from coord.script.script import Script

__all__ = ["Call"]

T = TypeVar("T")


class Call(NamedTuple, Generic[T]):
    """One round trip, not yet made.

    ``keys`` are complete, prefix included, and share one hash tag; ``argv`` are strings and integers of the types in
    the script's header. ``read`` turns the reply, whose strings are ``str``, into the result.
    """

    script: Script
    keys: tuple[str, ...]
    argv: tuple[str | int, ...]
    read: Callable[[Any], T]
