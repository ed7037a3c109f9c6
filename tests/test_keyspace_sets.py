"""Sets of the Keyspace are those of each server."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import pytest
from differential import ENGINES, compare, each, maybe, some
from hypothesis import strategies as st

from coord.testing.servers import Engine

ROWS = max(20, int(os.environ.get("COORD_HISTORIES", "2000")) // 40)
KEYS = st.sampled_from(["a", "a", "a", "b", "ö"])
MEMBERS = st.sampled_from(["", "x", "y", "z", "1", "€", "\udcff"])
COUNTS = st.sampled_from([1, 2, 0, -1, 5, "x"])

SETS = st.one_of(
    each("SADD", KEYS, some(MEMBERS)),
    each("SADD", KEYS, some(MEMBERS)),
    each("SADD", KEYS),
    each("SREM", KEYS, some(MEMBERS)),
    each("SCARD", KEYS),
    each("SISMEMBER", KEYS, MEMBERS),
    each("SMISMEMBER", KEYS, some(MEMBERS)),
    each("SMEMBERS", KEYS),
    each("SMOVE", KEYS, KEYS, MEMBERS),
    each(st.sampled_from(["SUNION", "SINTER", "SDIFF"]), some(KEYS)),
    each(st.sampled_from(["SUNIONSTORE", "SINTERSTORE", "SDIFFSTORE"]), KEYS, some(KEYS)),
    each("SINTERCARD", COUNTS, some(KEYS), maybe("LIMIT", COUNTS)),
    each("PEXPIRE", KEYS, 1000),
    each("SET", KEYS, "x"),
    each("DEL", KEYS),
)


def differs(words: Sequence[Any], engine: Engine) -> bool:
    """What 6.2 lacks: SINTERCARD."""
    return words[0] == "SINTERCARD" and engine.version < (7,)


@pytest.mark.parametrize("engine", ENGINES)
def test_commands_mean_what_they_mean_on_a_server(engine: Engine) -> None:
    """Any row of commands: same replies, same errors, same keys, types, values and TTLs."""
    compare(engine, SETS, rows=ROWS, differs=differs)
