"""Read the words of commands as Redis reads them, and print numbers as Redis prints them."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction

from coord.errors import ReplyError
from coord.memory.grisu import digits_of
from coord.names import INT64_MAX, INT64_MIN

__all__ = [
    "NOT_AN_INTEGER",
    "OVERFLOW",
    "SYNTAX",
    "WRONG_TYPE",
    "Word",
    "bound",
    "double",
    "double_text",
    "extended",
    "extended_text",
    "extended_total",
    "integer",
    "lookup_range",
    "text",
    "texts",
    "total",
    "wrong_arity",
]

Word = str | int | float
"""A word of a command. A number is sent as its text."""

WRONG_TYPE = "WRONGTYPE Operation against a key holding the wrong kind of value"
NOT_AN_INTEGER = "ERR value is not an integer or out of range"
NOT_A_FLOAT = "ERR value is not a valid float"
OVERFLOW = "ERR increment or decrement would overflow"
SYNTAX = "ERR syntax error"
NOT_A_WORD = "ERR Lua redis lib command arguments must be strings or integers"

_DECIMAL = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE]([+-]?[0-9]+))?").fullmatch
_INFINITE = re.compile(r"[+-]?inf(?:inity)?", re.IGNORECASE).fullmatch
_HEXADECIMAL = re.compile(r"[+-]?0[xX](?:[0-9a-fA-F]+\.?[0-9a-fA-F]*|\.[0-9a-fA-F]+)(?:[pP][+-]?[0-9]+)?").fullmatch
_LONGEST_EXPONENT = 6
_MANTISSA_BITS = 64
_LARGEST_EXTENDED = Fraction(2) ** 16384


def text(word: object) -> str:
    """Return a word as the text that travels; None, a bool and what is neither text nor number are refused."""
    if isinstance(word, str):
        return str.__str__(word)
    if isinstance(word, bool):
        raise ReplyError(NOT_A_WORD)
    if isinstance(word, int):
        return int.__repr__(word)
    if isinstance(word, float):
        return double_text(word)
    raise ReplyError(NOT_A_WORD)


def texts(words: Sequence[object]) -> Sequence[str]:
    """Return words as texts."""
    try:
        # A third of the time of looking at each.
        "".join(words)  # type: ignore[arg-type]  # whether they are texts is the question
    except TypeError:
        return [text(word) for word in words]
    return words  # type: ignore[return-value]  # all are


def wrong_arity(name: str) -> ReplyError:
    """Return the error of a command that has too few or too many words."""
    return ReplyError(f"ERR wrong number of arguments for '{name}' command")


# --- whole numbers -------------------------------------------------------------------------------


def integer(word: object, otherwise: str = NOT_AN_INTEGER) -> int:
    """Read a 64-bit integer: no blanks, no plus, no leading zeros."""
    if type(word) is int:
        number = word
    else:
        written = word if type(word) is str else text(word)
        try:
            number = int(written)
        except ValueError:
            raise ReplyError(otherwise) from None
        # Cheaper than a pattern, and as strict.
        if str(number) != written:
            raise ReplyError(otherwise)
    if not INT64_MIN <= number <= INT64_MAX:
        raise ReplyError(otherwise)
    return number


def total(number: int, delta: int) -> int:
    """Return the sum of two 64-bit integers, or raise the error of an overflow."""
    number += delta
    if not INT64_MIN <= number <= INT64_MAX:
        raise ReplyError(OVERFLOW)
    return number


def lookup_range(start: int, stop: int, size: int) -> slice:
    """Return the slice from one index to another, itself included; negative ones count from the end."""
    start = max(start + size, 0) if start < 0 else start
    stop = stop + size if stop < 0 else stop
    return slice(start, max(stop + 1, 0))


# --- doubles -------------------------------------------------------------------------------------


def double(word: object, otherwise: str = NOT_A_FLOAT) -> float:
    """Read a double, as C's ``strtod`` does; NaN and what leaves its range are refused."""
    if type(word) is int:
        return float(word)
    if isinstance(word, float):
        value = word
    else:
        value = _strtod(text(word), otherwise)
        if math.isinf(value) and not _INFINITE(text(word)):
            raise ReplyError(otherwise)
    if math.isnan(value):
        raise ReplyError(otherwise)
    return value


def _strtod(word: str, otherwise: str) -> float:
    if _DECIMAL(word):
        value = float(word)
        if value == 0 and any(digit in "123456789" for digit in re.split("[eE]", word)[0]):
            # Too small for a double: strtod says so.
            raise ReplyError(otherwise)
        return value
    if _INFINITE(word):
        return float(word)
    if _HEXADECIMAL(word):
        try:
            return float.fromhex(word)
        except OverflowError:
            return math.inf
    raise ReplyError(otherwise)


def bound(word: Word, otherwise: str) -> tuple[float, bool]:
    """Read one end of a range of scores, and whether ``(`` in front of it excludes it."""
    if word.__class__ is not str:
        return double(word, otherwise), False
    written = text(word)
    excluded = written.startswith("(")
    # No digits at all are 0.
    digits = (written[1:] if excluded else written) or "0"
    value = float(digits) if _DECIMAL(digits) else _strtod(digits, otherwise)
    return value, excluded


def double_text(value: float) -> str:
    """Print a double as Redis since 7.2 does: whole numbers up to 2^62 in digits, others by Grisu2."""
    if value.is_integer() and abs(value) <= 1 << 62:
        return "-0" if value == 0 and math.copysign(1, value) < 0 else str(int(value))
    if not math.isfinite(value):
        return "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"
    digits, exponent = digits_of(abs(value))
    return ("-" if value < 0 else "") + _placed(digits, len(digits) + exponent)


def _placed(digits: str, point: int) -> str:
    """Place the point of 0.DIGITS * 10 ** point, as ``fpconv`` does."""
    size = len(digits)
    scale = point - size
    exponent = point - 1
    if scale >= 0 and exponent < size + 7:
        return digits + "0" * scale
    if scale < 0 and (scale > -7 or abs(exponent) < 4):
        if point <= 0:
            return "0." + "0" * -point + digits
        return digits[:point] + "." + digits[point:]
    mantissa = digits[0] + ("." + digits[1:] if size > 1 else "")
    return f"{mantissa}e{'-' if exponent < 0 else '+'}{abs(exponent)}"


# --- long doubles --------------------------------------------------------------------------------
# INCRBYFLOAT and HINCRBYFLOAT count in the 80-bit format of x86: a mantissa of 64 bits.


def extended(word: object, otherwise: str = NOT_A_FLOAT) -> Fraction | float:
    """Read a long double; infinities are returned as floats."""
    written = text(word)
    found = _DECIMAL(written)
    if found:
        exponent = found[1] or "0"
        if len(exponent.lstrip("+-").lstrip("0")) > _LONGEST_EXPONENT:
            raise ReplyError(otherwise)
        # Python's int reads and prints 4,300 digits at most, a long double has up to 4,932: a Decimal has no limit.
        value = _rounded(Fraction(Decimal(written)))
        if abs(value) >= _LARGEST_EXTENDED:
            raise ReplyError(otherwise)
        return value
    if _INFINITE(written):
        return float(written)
    if _HEXADECIMAL(written):
        try:
            return _rounded(Fraction(float.fromhex(written)))
        except OverflowError:
            raise ReplyError(otherwise) from None
    raise ReplyError(otherwise)


def extended_total(left: Fraction | float, right: Fraction | float) -> Fraction | float:
    """Return a sum, rounded to a long double; an infinite one is a float."""
    if isinstance(left, float) or isinstance(right, float):
        return float(left) + float(right)
    value = _rounded(Fraction(left + right))
    return math.inf if abs(value) >= _LARGEST_EXTENDED else value


def extended_text(value: Fraction) -> str:
    """Print a long double with at most 17 decimals and without trailing zeros."""
    scaled = round(abs(value) * 10**17)
    whole, decimals = divmod(scaled, 10**17)
    sign = "-" if value < 0 and scaled else ""
    return f"{sign}{Decimal(whole):f}.{decimals:017}".rstrip("0").removesuffix(".")


def _rounded(value: Fraction) -> Fraction:
    """Round to a mantissa of 64 bits, halves to even."""
    if not value:
        return value
    size = abs(value)
    exponent = size.numerator.bit_length() - size.denominator.bit_length() - _MANTISSA_BITS
    if size >= Fraction(2) ** (exponent + _MANTISSA_BITS):
        exponent += 1
    unit = Fraction(2) ** exponent
    return round(value / unit) * unit
