"""The values from which calls are drawn, and what a foreign writer leaves at keys."""

from __future__ import annotations

from coord.memory import Keyspace
from coord.names import INT64_MAX, INT64_MIN
from coord.script import Script

__all__ = [
    "COUNTS",
    "FOREIGN",
    "FREQUENT",
    "GROUPS",
    "INTS",
    "LONG_LIST",
    "MS",
    "NAMES",
    "NUMBERS",
    "PAUSES_US",
    "TEXTS",
]

TEXTS = ("x", "y", "", "0", "-1", "1e3", "a|b", "\0 €|", "%")
NAMES = ("x", "y", "z|1", "0", "\n€")
_EDGES = (2**53, 10**9, 10**15, 10**16, 10**17, 10**18)
INTS = (
    *(0, 1, -1, 2, -2, 10, -1000, 999_999_999, -999_999_999),
    *(INT64_MAX, INT64_MAX - 1, INT64_MIN, INT64_MIN + 1, 9_223_372_036 * 10**9, -9_223_372_036 * 10**9),
    *(sign * (edge + off) for sign in (1, -1) for edge in _EDGES for off in (-1, 0, 1)),
)
COUNTS = (0, 1, 1, 2, 2, 3, 5, 10, 100, 2**53 - 1, 2**53, INT64_MAX)
MS = (1, 2, 50, 1_000, 1_001, 30_000, 30_000, 60_000, 60_000, 10 * 365 * 24 * 3600 * 1000)
PAUSES_US = (1, 7, 999, 1_000, 1_001, 50_000, 1_000_000, 86_400_000_000)
GROUPS = (0, 1, 1, 1, 2, 2, 3, 4)
"""Numbers of repeated arguments; rarely a whole batch, or one more."""

LONG_LIST = 100_001

NUMBERS = (
    *("0", "1", "007", "-1", "-0", " 1", "1.0", "1e3", "0x10", "nan", "٣", ""),
    *(str(edge + off) for edge in (100, 2**53, 10**15) for off in (-2, -1, 0, 1)),
    *(str(INT64_MAX), str(INT64_MAX - 1), str(INT64_MIN), "9" * 15, "9" * 16, "9" * 19, "9" * 20, "0" * 17 + "7"),
)
"""Values for a number: numbers at the edges, and texts that only look like one."""

FREQUENT = ("0", "1", "99", "100", str(INT64_MAX), str(INT64_MIN))

SCORES = (
    *("1", "0", "-1", "100", str(2**53), str(-(2**53)), "1.5", "1e300", "inf", "-inf"),
    *("1800000060000", "1800000060000.5"),
)
"""Scores of a sorted set; the last are times after that at which histories begin, in ms."""


def _foreign(space: Keyspace, key: str, replaces: int, ttl_ms: int, command: str, *words: str) -> int:
    if replaces:
        space.delete(key)
    if command == "FILL":
        space.rpush(key, *("x",) * LONG_LIST)
    else:
        space.execute(command, key, *words)
    if ttl_ms:
        space.pexpire(key, ttl_ms)
    return 1


FOREIGN = Script(
    "foreign_writer",
    f"""
    if ARGV[1] == "1" then
      redis.call("DEL", KEYS[1])
    end
    if ARGV[3] == "FILL" then
      local many = {{}}
      for place = 1, 1000 do
        many[place] = "x"
      end
      for _ = 1, {LONG_LIST // 1000} do
        redis.call("RPUSH", KEYS[1], unpack(many))
      end
      redis.call("RPUSH", KEYS[1], "x")
    else
      redis.call(ARGV[3], KEYS[1], unpack(ARGV, 4))
    end
    if ARGV[2] ~= "0" then
      redis.call("PEXPIRE", KEYS[1], ARGV[2])
    end
    return 1
    """,
    _foreign,
)
"""ARGV: whether it deletes the key first, the key's TTL in ms (0: as it is), and a command without its key."""
