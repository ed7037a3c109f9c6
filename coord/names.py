"""Names, times and counts, as users give them and as they travel."""

from __future__ import annotations

import math
import re
from datetime import timedelta

__all__ = [
    "INT64_MAX",
    "INT64_MIN",
    "Seconds",
    "check_name",
    "escape_glob",
    "exact_str",
    "int64",
    "milliseconds",
    "needs_no_escape",
    "percent_decode",
    "percent_encode",
    "printable",
]

Seconds = int | float | timedelta
"""A TTL or timeout: seconds, at least 1 ms and at most 10 years."""

INT64_MAX = 2**63 - 1
INT64_MIN = -(2**63)

_LONGEST_NAME = 1024
_TEN_YEARS = 10 * 365 * 24 * 3600
needs_no_escape = re.compile(r"[ !-$&-z|~]{1,256}").fullmatch
"""Whether a name has nothing to encode but colons, as most have."""

_RESERVED = re.compile(r"[\x00-\x1f\x7f-\x9f%:{}]")
_ESCAPE = re.compile(r"%([0-9A-F]{2})")


def check_name(value: str, what: str) -> str:
    """Return ``value`` if it is 1 to 1,024 bytes of UTF-8; say what is wrong with it otherwise."""
    if not isinstance(value, str):
        raise TypeError(f"{what} must be a str, not {type(value).__name__}")
    if not value:
        raise ValueError(f"{what} is empty: it needs at least one character")
    try:
        size = len(value) if value.isascii() else len(value.encode())
    except UnicodeEncodeError:
        raise ValueError(f"{what} is not valid UTF-8: {value[:64]!r}") from None
    if size > _LONGEST_NAME:
        raise ValueError(f"{what} is {size:,} bytes long: at most {_LONGEST_NAME:,} are allowed")
    return exact_str(value)


def exact_str(value: str) -> str:
    """Return a text itself: a member of a str Enum is its text here, whatever its own str() says."""
    return value if value.__class__ is str else str.__str__(value)


def percent_encode(name: str, what: str = "a name") -> str:
    """Return ``name`` so that it can stand in a key without moving its hash tag or its prefix.

    ``{``, ``}``, ``%``, ``:`` and control characters become ``%XX``; all else stays readable.
    """
    if name.__class__ is str and needs_no_escape(name):
        return name.replace(":", "%3A")
    return _RESERVED.sub(lambda found: f"%{ord(found[0]):02X}", check_name(name, what))


def percent_decode(name: str) -> str:
    """Return the name that ``percent_encode`` made into this."""
    return _ESCAPE.sub(lambda found: chr(int(found[1], 16)), name)


def escape_glob(text: str) -> str:
    """Return a glob pattern of Redis that matches this text alone."""
    return "".join(f"\\{letter}" if letter in "*?[]\\" else letter for letter in text)


def printable(text: str) -> str:
    """Return a text without what a terminal would act on, or could not show: that becomes an escape."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def milliseconds(value: Seconds, what: str = "ttl") -> int:
    """Return seconds as whole milliseconds: at least 1 ms, at most 10 years."""
    if type(value) is int and 0 < value <= _TEN_YEARS:
        return value * 1000
    if isinstance(value, bool):
        raise ValueError(f"{what} must be a number of seconds, not a bool")  # noqa: TRY004  # as the contract has it
    if isinstance(value, timedelta):
        seconds: int | float = value.total_seconds()
    elif isinstance(value, (int, float)):
        seconds = value
    else:
        raise TypeError(f"{what} must be seconds (int, float or timedelta), not {type(value).__name__}")
    if isinstance(seconds, float) and not math.isfinite(seconds):
        raise ValueError(f"{what} is {seconds}: it must be finite")
    # Cut off first: the largest floats have no thousandfold.
    whole = round(min(seconds, 2 * _TEN_YEARS) * 1000)
    if not 1 <= whole <= _TEN_YEARS * 1000:
        raise ValueError(f"{what} is {seconds} s: it must be from 1 ms to 10 years")
    return whole


def int64(value: int, what: str) -> int:
    """Return ``value`` if it is an int that fits into 64 signed bits."""
    if not isinstance(value, int):
        raise TypeError(f"{what} must be an int, not {type(value).__name__}")
    if isinstance(value, bool):
        raise ValueError(f"{what} must be an int, not a bool")  # noqa: TRY004  # as for seconds
    if not INT64_MIN <= value <= INT64_MAX:
        raise ValueError(f"{what} does not fit into a signed 64-bit integer")
    return int(value)
