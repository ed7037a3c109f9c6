"""Print doubles by Grisu2, as Redis since 7.2 and Valkey do, down to the last digit.

Grisu2 finds digits that read back as the same double, and nearly always the fewest; where it does not, Redis prints
what it found, and so does this. The algorithm: F. Loitsch, "Printing Floating-Point Numbers Quickly and Accurately with
Integers", PLDI 2010.
"""

from __future__ import annotations

import math
from functools import cache, lru_cache

__all__ = ["digits_of"]

_HIDDEN = 1 << 52
_FIRST_POWER, _POWER_STEP, _POWERS = -348, 8, 87
_LEAST_EXPONENT, _MOST_EXPONENT = -60, -32
_LOG10_OF_2 = 0.30102999566398114

Scaled = tuple[int, int]
"""A 64-bit integer, and the power of two that it is multiplied by."""


@lru_cache(4096)
def digits_of(value: float) -> tuple[str, int]:
    """Return the digits of a positive double, and the power of ten that their integer is multiplied by."""
    fraction, exponent = math.frexp(value)
    whole, exponent = int(fraction * 2 * _HIDDEN), exponent - 53
    shift = max(0, -1074 - exponent)
    whole, exponent = whole >> shift, exponent + shift

    upper = _normal(2 * whole + 1, exponent - 1)
    wider = 2 if whole == _HIDDEN else 1
    lower = ((whole << wider) - 1) << exponent - wider - upper[1]
    middle = _normal(whole, exponent)

    power, ten = _power_near(upper[1])
    high, unit = _product(upper, power)
    low = _product((lower, upper[1]), power)[0]
    # Each product is off by at most one: the digits stay inside of what is certain.
    return _digits(high - 1, low + 1, _product(middle, power)[0], -unit, -ten)


def _normal(whole: int, exponent: int) -> Scaled:
    shift = 64 - whole.bit_length()
    return whole << shift, exponent - shift


def _product(left: Scaled, right: Scaled) -> Scaled:
    return (left[0] * right[0] + (1 << 63)) >> 64, left[1] + right[1] + 64


@cache
def _power_of_ten(index: int) -> Scaled:
    """Return a power of ten, rounded to 64 bits."""
    power = _FIRST_POWER + index * _POWER_STEP
    if power >= 0:
        whole = 10**power
        shift = whole.bit_length() - 64
        whole = whole << -shift if shift <= 0 else (whole + (1 << shift - 1)) >> shift
        return whole, shift
    below = 10**-power
    shift = below.bit_length() + 64
    whole = (1 << shift) // below
    extra = whole.bit_length() - 64
    return ((1 << shift - extra + 1) // below + 1) >> 1, extra - shift


def _power_near(exponent: int) -> tuple[Scaled, int]:
    """Return a power of ten that brings a product into the range whose digits are quick to take."""
    index = (int(-(exponent + _POWERS) * _LOG10_OF_2) - _FIRST_POWER) // _POWER_STEP
    while True:
        reached = exponent + _power_of_ten(index)[1] + 64
        if reached < _LEAST_EXPONENT:
            index += 1
        elif reached > _MOST_EXPONENT:
            index -= 1
        else:
            return _power_of_ten(index), _FIRST_POWER + index * _POWER_STEP


def _digits(high: int, low: int, middle: int, bits: int, ten: int) -> tuple[str, int]:
    """Take digits of ``high`` until what is left fits between it and ``low``; then move towards ``middle``."""
    room, wanted, one = high - low, high - middle, 1 << bits
    whole, rest = high >> bits, high & one - 1
    digits = 0
    for place in range(9, -1, -1):
        digit, whole = divmod(whole, 10**place)
        digits = digits * 10 + digit
        left = (whole << bits) + rest
        if left <= room:
            return str(_nearer(digits, room, left, 10**place << bits, wanted)), ten + place
    place = 0
    while True:
        rest, room, wanted, place = rest * 10, room * 10, wanted * 10, place - 1
        digits = digits * 10 + (rest >> bits)
        rest &= one - 1
        if rest < room:
            return str(_nearer(digits, room, rest, one, wanted)), ten + place


def _nearer(digits: int, room: int, left: int, step: int, wanted: int) -> int:
    while left < wanted and room - left >= step and (left + step < wanted or wanted - left > left + step - wanted):
        digits, left = digits - 1, left + step
    return digits
