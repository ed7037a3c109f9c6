"""Lists of the Keyspace are those of each server."""

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
TEXTS = st.sampled_from(["", "x", "y", "z", "€", "\udcff"])
PLACES = st.integers(-5, 5) | st.sampled_from(["x", "", 2**63 - 1, -(2**63)])
COUNTS = st.integers(-3, 4) | st.sampled_from(["x", 2**63 - 1])
ENDS = st.sampled_from(["LEFT", "right", "ZZ", "RIGHT", "LEFT"])
RANK = maybe("RANK", st.sampled_from([1, 2, -1, -2, 0]))
COUNT = maybe("COUNT", st.sampled_from([0, 1, 2, -1]))
MAXLEN = maybe("MAXLEN", st.sampled_from([0, 1, 3, -1]))

LISTS = st.one_of(
    each(st.sampled_from(["RPUSH", "LPUSH"]), KEYS, some(TEXTS)),
    each(st.sampled_from(["RPUSH", "LPUSH"]), KEYS, some(TEXTS)),
    each(st.sampled_from(["RPUSHX", "LPUSHX"]), KEYS, some(TEXTS)),
    each(st.sampled_from(["RPOP", "LPOP"]), KEYS),
    each(st.sampled_from(["RPOP", "LPOP"]), KEYS, COUNTS),
    each("LLEN", KEYS),
    each("LRANGE", KEYS, PLACES, PLACES),
    each("LTRIM", KEYS, PLACES, PLACES),
    each("LINDEX", KEYS, PLACES),
    each("LSET", KEYS, PLACES, TEXTS),
    each("LINSERT", KEYS, st.sampled_from(["BEFORE", "after", "ZZ"]), TEXTS, TEXTS),
    each("LREM", KEYS, COUNTS, TEXTS),
    each("LPOS", KEYS, TEXTS, RANK, COUNT, MAXLEN),
    each("LPOS", KEYS, st.sampled_from(["", "x"]), "RANK", -1),
    each("RPUSH", KEYS, "x", some(TEXTS)),
    each("LMOVE", KEYS, KEYS, ENDS, ENDS),
    each("RPOPLPUSH", KEYS, KEYS),
    each("PEXPIRE", KEYS, 1000),
    each("SET", KEYS, "x"),
    each("DEL", KEYS),
)


def differs(words: Sequence[Any], engine: Engine) -> bool:
    """6.2 answers LPOP and RPOP with a count of 0 with nil, and its errors of a bad count differ.

    The error of RANK 0 has its own words in Redis 7 and newer.
    All servers cut the index of LSET and LINDEX to 32 bits.
    """
    if words[0] == "LPOS" and 0 in words[3:] and "RANK" in words and engine.name != "redis-8.2":
        return words[words.index("RANK") + 1] == 0
    if words[0] in ("LSET", "LINDEX") and isinstance(words[2], int) and abs(words[2]) > 2**31:
        return True
    return words[0] in ("LPOP", "RPOP") and len(words) > 2 and engine.version < (7,) and str(words[2]) <= "0"


@pytest.mark.parametrize("engine", ENGINES)
def test_commands_mean_what_they_mean_on_a_server(engine: Engine) -> None:
    """Any row of commands: same replies, same errors, same keys, types, values and TTLs."""
    compare(engine, LISTS, rows=ROWS, differs=differs)
