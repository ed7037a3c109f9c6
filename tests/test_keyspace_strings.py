"""Strings, numbers, bitmaps and deadlines of the Keyspace are those of each server."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import pytest
from differential import ENGINES, compare, each, maybe, pairs, some
from hypothesis import strategies as st

from coord.testing.clock import START_US
from coord.testing.servers import Engine

ROWS = max(20, int(os.environ.get("COORD_HISTORIES", "2000")) // 40)
NOW_MS = START_US // 1000

KEYS = st.sampled_from(["a", "a", "a", "b", "ö"])
BIG = ["9" * 19, str(2**63 - 1), str(-(2**63)), "9" * 4301]
TEXTS = st.sampled_from(["", "x", "-7", "007", "-0", " 1", "1.5", "1e3", "٣", "\udcff\udc80", "€\0\n", *BIG])
FLOATS = st.sampled_from(
    [
        "0.1",
        "0.2",
        "-0.3",
        "1e3",
        "3.0e-5",
        "1e17",
        "1.5",
        "-2",
        "",
        " 1",
        "x",
        "nan",
        "inf",
        "0x10",
        "0x1p99999",
        "1e5000",
        "1e-20",
        "123456789.123",
    ]
) | st.floats(-1e6, 1e6).map(repr)
WHOLE = st.sampled_from([0, 1, -1, 5, 2**63 - 1, -(2**63), "", "x", "1.0", "+1", "9" * 4301]) | st.integers(-20, 20)
PLACES = st.integers(-8, 8)
MS = st.sampled_from([0, -1, 1, 2, 1000, 1001, 2**61, 2**62, 2**62 - NOW_MS, 2**63 - 1 - NOW_MS, 2**63 - 1])
SECONDS = st.sampled_from([0, -1, 1, 5, 2**43, 2**52, 2**63 - 1, -(2**63), "x"])
MOMENTS_MS = st.sampled_from([0, 1, *(NOW_MS + off for off in (-1, 0, 1, 1000)), 2**52, 2**62, 2**63 - 1])
MOMENTS = st.sampled_from([0, 1, *(NOW_MS // 1000 + off for off in (-1, 0, 1, 5)), 2**52, 2**62, -(2**62)])
FLAGS = st.lists(st.sampled_from(["NX", "XX", "GT", "lt", "ZZ"]), max_size=2)
TIMES = st.one_of(
    each("EX", SECONDS), each("px", MS), each("EXAT", MOMENTS), each("PXAT", MOMENTS_MS), st.just([]), each("EX")
)
SET_FLAGS = st.lists(st.sampled_from(["NX", "XX", "GET", "KEEPTTL", "ZZ"]), max_size=2)

STRINGS = st.one_of(
    each("GET", KEYS),
    each("SET", KEYS, TEXTS),
    each("SET", KEYS, TEXTS, TIMES, SET_FLAGS),
    each("SET", KEYS, TEXTS, SET_FLAGS, TIMES),
    each("SETNX", KEYS, TEXTS),
    each("SETEX", KEYS, SECONDS, TEXTS),
    each("PSETEX", KEYS, MS, TEXTS),
    each("GETSET", KEYS, TEXTS),
    each("GETDEL", KEYS),
    each("GETEX", KEYS, TIMES, maybe("PERSIST")),
    each("MGET", some(KEYS)),
    each("MSET", pairs(KEYS, TEXTS), maybe("a")),
    each("MSETNX", pairs(KEYS, TEXTS)),
    each("STRLEN", KEYS),
    each("APPEND", KEYS, TEXTS),
    each("GETRANGE", KEYS, PLACES, PLACES),
    each("SUBSTR", KEYS, PLACES, WHOLE),
    each("SETRANGE", KEYS, PLACES, TEXTS),
    each("PEXPIRE", KEYS, 5000),
    each("GETEX", KEYS, "PERSIST"),
    each("SADD", KEYS, "m"),
)
NUMBERS = st.one_of(
    each("SET", KEYS, TEXTS | FLOATS),
    each("SET", KEYS, st.sampled_from(["0", "5", "-7", "0.5", "1e300"]), TIMES),
    each("SET", KEYS, "7", "PX", 5000),
    each("INCR", KEYS),
    each("DECR", KEYS),
    each("INCRBY", KEYS, WHOLE),
    each("DECRBY", KEYS, WHOLE),
    each("INCRBYFLOAT", KEYS, FLOATS),
    each("GET", KEYS),
    each("DEL", KEYS),
    each("SADD", KEYS, "m"),
)
BITS = st.one_of(
    each("SET", KEYS, TEXTS),
    each("SETBIT", KEYS, st.integers(-1, 40) | st.sampled_from(["x", 2**32]), st.sampled_from([0, 1, 1, 2, "x"])),
    each("GETBIT", KEYS, st.integers(-1, 40) | st.sampled_from(["x", 2**32])),
    each("BITCOUNT", KEYS),
    each("BITCOUNT", KEYS, PLACES, PLACES),
    each("BITCOUNT", KEYS, PLACES, PLACES, st.sampled_from(["BYTE", "bit", "ZZ"])),
    each("BITCOUNT", KEYS, PLACES),
    each("SADD", KEYS, "m"),
)
DEADLINES = st.one_of(
    each(
        st.sampled_from(["PEXPIRE", "EXPIRE"]),
        KEYS,
        st.sampled_from([1, 5, 1000]),
        st.sampled_from(["NX", "XX", "GT", "LT"]),
    ),
    each("SET", KEYS, "x", TIMES),
    each("SADD", KEYS, "m"),
    each("EXISTS", some(KEYS)),
    each("DEL", some(KEYS)),
    each("UNLINK", some(KEYS)),
    each("TYPE", KEYS),
    each("RENAME", KEYS, KEYS),
    each("RENAMENX", KEYS, KEYS),
    each("COPY", KEYS, KEYS, maybe(st.sampled_from(["REPLACE", "ZZ"]))),
    each("PEXPIRE", KEYS, MS, FLAGS),
    each("EXPIRE", KEYS, SECONDS, FLAGS),
    each("PEXPIREAT", KEYS, MOMENTS_MS, FLAGS),
    each("EXPIREAT", KEYS, MOMENTS, FLAGS),
    each("PERSIST", KEYS),
    each("PTTL", KEYS),
    each("TTL", KEYS),
    each("PEXPIRETIME", KEYS),
    each("EXPIRETIME", KEYS),
    each("TIME"),
)


def differs(words: Sequence[Any], engine: Engine) -> bool:
    """Where servers differ from each other.

    * 6.2 lacks EXPIRE with flags, EXPIRETIME, BITCOUNT with a unit, and SET with NX and GET.
    * 6.2 and Valkey read the time of GETEX before they look for the key.
    * DECRBY of the smallest number: an error of its own since 7.0.
    * BITCOUNT with a start and no end: a syntax error on Redis 8.2 alone.
    """
    name, *rest = words
    upper = [str(word).upper() for word in rest]
    if (name == "BITCOUNT" and len(rest) == 2) or (name == "GETEX" and len(rest) > 2):
        return engine.name != "redis-8.2"
    if engine.version >= (7,):
        return False
    if name == "DECRBY" and str(rest[1]) == str(-(2**63)):
        return True
    return (
        name in ("PEXPIRETIME", "EXPIRETIME")
        or (name in ("EXPIRE", "PEXPIRE", "EXPIREAT", "PEXPIREAT") and len(rest) > 2)
        or (name == "BITCOUNT" and len(rest) > 3)
        or (name == "SET" and "NX" in upper and "GET" in upper)
    )


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    "commands", [STRINGS, NUMBERS, BITS, DEADLINES], ids=["strings", "numbers", "bits", "deadlines"]
)
def test_commands_mean_what_they_mean_on_a_server(engine: Engine, commands: st.SearchStrategy[list[Any]]) -> None:
    """Any row of commands, with any pauses: same replies, same errors, same keys, types, values and TTLs."""
    compare(engine, commands, rows=ROWS, differs=differs)
