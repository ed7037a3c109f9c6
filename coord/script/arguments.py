"""Keys and arguments of a call, compared with what its script declares, before anything is sent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from coord.names import INT64_MAX, INT64_MIN, check_name, int64
from coord.script.header import Argument, Header

__all__ = ["call_checker"]

Checks = Callable[[tuple[str, ...], tuple[str | int, ...]], None]

_TEN_YEARS_MS = 10 * 365 * 24 * 3600 * 1000
_RANGES = {
    "int": (INT64_MIN, INT64_MAX),
    "count": (0, INT64_MAX),
    "ms": (1, _TEN_YEARS_MS),
    "ms?": (0, _TEN_YEARS_MS),
}


def call_checker(script: str, header: Header | None) -> Checks:
    """Return the function that compares the keys and arguments of a script's calls with its header."""
    if header is None:
        return lambda keys, _argv: _check_keys(script, keys)
    fixed = [(argument, _fits(argument)) for argument in header.fixed]
    group = [(argument, _fits(argument)) for argument in header.argv[len(fixed) :]]
    wanted = len(header.keys)
    least = max((argument.least for argument, _ in group), default=0)

    def check(keys: tuple[str, ...], argv: tuple[str | int, ...]) -> None:
        if len(keys) != wanted:
            words = ", ".join(key.word for key in header.keys) or "none"
            raise ValueError(f"{script}: takes {wanted} key(s) ({words}), not {len(keys)}")
        _check_keys(script, keys)
        rest = len(argv) - len(fixed)
        if rest < least or (rest % len(group) if group else rest):
            words = ", ".join(f"{each.word}..." if each.repeats else each.word for each in header.argv) or "none"
            raise ValueError(f"{script}: takes the arguments {words}, not {len(argv)} of them")
        declared = fixed + group * (rest // len(group)) if rest else fixed
        for (argument, fits), value in zip(declared, argv, strict=True):
            if not fits(value):
                _refuse(f"{script}: {argument.word}", argument, value)

    return check


def _check_keys(script: str, keys: tuple[str, ...]) -> None:
    """Refuse keys that a cluster has in two slots."""
    first = ""
    for key in keys:
        if not isinstance(key, str):
            raise TypeError(f"{script}: a key must be a str, not {type(key).__name__}")
        if not first:
            first = key
        elif _tag(key) != _tag(first):
            raise ValueError(f"{script}: keys of two hash tags, which a cluster refuses: {first!r} and {key!r}")


def _tag(key: str) -> str:
    """Return what Redis takes for the hash tag: the text in the first braces, or the whole key."""
    _, brace, rest = key.partition("{")
    inside, closed, _ = rest.partition("}")
    return inside if brace and closed and inside else key


def _fits(argument: Argument) -> Callable[[Any], bool]:
    """Return a quick test that only valid values pass; what fails it goes to ``_refuse``."""
    if argument.type in _RANGES:
        low, high = _RANGES[argument.type]
        return lambda value: value.__class__ is int and low <= value <= high
    if argument.type == "str":
        return lambda value: value.__class__ is str and value.isascii()
    if argument.type == "name":
        return lambda value: value.__class__ is str and 0 < len(value) <= 1024 and value.isascii()
    words = frozenset(argument.type.split("|"))
    return lambda value: value.__class__ is str and value in words


def _refuse(what: str, argument: Argument, value: object) -> None:
    """Raise the error for an invalid value; return for valid text beyond ASCII."""
    if argument.type in _RANGES:
        low, high = _RANGES[argument.type]
        if type(value) is int:
            raise ValueError(f"{what} is {value}: {argument.type} is a number from {low} to {high}")
        number = int64(cast("int", value), what)
        raise TypeError(f"{what} must be an int itself, not {type(value).__name__}: pass {number}")
    if type(value) is not str:
        raise TypeError(f"{what} must be a str, not {type(value).__name__}")
    if argument.type == "name":
        check_name(value, what)
    elif argument.type == "str":
        try:
            value.encode()
        except UnicodeEncodeError:
            raise ValueError(f"{what} is not valid UTF-8: {value[:64]!r}") from None
    else:
        raise ValueError(f"{what} is {value!r}: it is one of {argument.type.replace('|', ', ')}")
