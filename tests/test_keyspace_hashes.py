"""Hashes of the Keyspace are those of each server."""

from __future__ import annotations

import os

import pytest
from differential import ENGINES, compare, each, pairs, some
from hypothesis import strategies as st

from coord.testing.servers import Engine

ROWS = max(20, int(os.environ.get("COORD_HISTORIES", "2000")) // 40)
KEYS = st.sampled_from(["a", "a", "a", "b", "ö"])
FIELDS = st.sampled_from(["", "f", "g", "€"])
TEXTS = st.sampled_from(["", "x", "-7", "007", "1.5", "9" * 19, str(2**63 - 1), str(-(2**63)), "9" * 4301, "\udcff"])
WHOLE = st.sampled_from([0, 1, -1, 2**63 - 1, -(2**63), "", "x", "1.0"]) | st.integers(-20, 20)
FLOATS = st.sampled_from(["0.1", "-0.3", "1e3", "", " 1", "x", "nan", "inf", "-inf"]) | st.floats(-1e6, 1e6).map(repr)

HASHES = st.one_of(
    each("HSET", KEYS, pairs(FIELDS, TEXTS)),
    each("HSET", KEYS, FIELDS, TEXTS, FIELDS),
    each("HMSET", KEYS, pairs(FIELDS, TEXTS)),
    each("HSETNX", KEYS, FIELDS, TEXTS),
    each("HGET", KEYS, FIELDS),
    each("HMGET", KEYS, some(FIELDS)),
    each("HGETALL", KEYS),
    each("HKEYS", KEYS),
    each("HVALS", KEYS),
    each("HLEN", KEYS),
    each("HEXISTS", KEYS, FIELDS),
    each("HSTRLEN", KEYS, FIELDS),
    each("HDEL", KEYS, some(FIELDS)),
    each("HDEL", KEYS),
    each("HINCRBY", KEYS, FIELDS, WHOLE),
    each("HINCRBYFLOAT", KEYS, FIELDS, FLOATS),
    each("PEXPIRE", KEYS, 1000),
    each("SET", KEYS, "x"),
    each("DEL", KEYS),
)


@pytest.mark.parametrize("engine", ENGINES)
def test_commands_mean_what_they_mean_on_a_server(engine: Engine) -> None:
    """Any row of commands: same replies, same errors, same keys, types, values and TTLs."""
    compare(engine, HASHES, rows=ROWS)
