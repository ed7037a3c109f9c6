"""Streams of the Keyspace are those of each server."""

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
KEYS = st.sampled_from(["a", "a", "a", "b", "ö"])
NOW_MS = START_US // 1000
LAST = f"{2**64 - 1}-{2**64 - 1}"
IDS = st.sampled_from(
    [
        "0-0",
        "0-1",
        "1",
        "1-1",
        "1-2",
        "5",
        "5-3",
        f"{NOW_MS}-0",
        f"{NOW_MS}-5",
        f"{NOW_MS + 5}-1",
        LAST,
    ]
)
BAD_IDS = st.sampled_from(["x", "", "-1", "1-", "1-x", "01", "1-1-1", str(2**64), "*-1"])
NEW_IDS = st.one_of(st.just("*"), st.just("*"), IDS, BAD_IDS, st.sampled_from(["1-*", "5-*", f"{NOW_MS}-*", "0-*"]))
ENDS = st.one_of(IDS, IDS.map("({}".format), st.sampled_from(["-", "+", "(-"]), BAD_IDS)
FIELDS = st.sampled_from(["", "f", "€"])
SIZES = st.sampled_from([0, 1, 2, 5, -1, "x"])
EXACT = st.sampled_from([[], ["="]])
TRIM = st.one_of(each("MAXLEN", EXACT, SIZES), each("minid", EXACT, IDS | BAD_IDS))
ADD = each("XADD", KEYS, st.just("*"), pairs(FIELDS, FIELDS, most=2))

STREAMS = st.one_of(
    ADD,
    ADD,
    each("XADD", KEYS, maybe("NOMKSTREAM"), NEW_IDS, pairs(FIELDS, FIELDS, most=2), maybe("f")),
    each("XADD", KEYS, maybe("NOMKSTREAM"), TRIM, NEW_IDS, pairs(FIELDS, FIELDS, most=2)),
    each("XLEN", KEYS),
    each("XRANGE", KEYS, ENDS, ENDS, maybe("COUNT", SIZES)),
    each("XREVRANGE", KEYS, ENDS, ENDS, maybe("COUNT", SIZES)),
    each("XTRIM", KEYS, TRIM, maybe("LIMIT", 5)),
    each("XDEL", KEYS, some(IDS)),
    each("XDEL", KEYS, some(IDS | BAD_IDS)),
    each("PEXPIRE", KEYS, 1000),
    each("SET", KEYS, "x"),
    each("DEL", KEYS),
)


def differs(words: Sequence[Any], engine: Engine) -> bool:
    """What 6.2 lacks: ids whose number alone is left to the server."""
    return engine.version < (7,) and any(str(word).endswith("-*") for word in words)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
def test_commands_mean_what_they_mean_on_a_server(engine: Engine) -> None:
    """Any row of commands: same replies, same errors, same keys, types, values and TTLs."""
    compare(engine, STREAMS, rows=ROWS, differs=differs)
