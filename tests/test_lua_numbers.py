"""Numbers that Lua libraries read and print are exact up to 2^53, on every server."""

from __future__ import annotations

from itertools import chain
from pathlib import Path

import pytest
import redis
from backends import covered

from coord.testing.servers import Engine, Server

LIB = Path(__file__).parents[1] / "lua" / "lib"
EDGES = sorted(
    {
        number
        for edge in chain(
            (10**9 * high for high in (1, 2, 1_795_920, 8_388_608, 9_007_198)), (1 << 31, 1 << 52, 1 << 53)
        )
        for number in range(edge - 2, edge + 3)
        if number <= 1 << 53
    }
    | {0, 1, 999_999_999}
)


@pytest.mark.parametrize("engine", [pytest.param(engine, id=name) for name, engine in covered().items()])
def test_whole_numbers_are_printed_and_read_exactly(engine: Engine) -> None:
    digits, exact, whole = ((LIB / f"{name}.lua").read_text() for name in ("digits", "exact", "whole"))
    whole = exact + whole
    source = f"""{digits} {whole}
        local printed = {{}}
        for i, text in ipairs(ARGV) do
          printed[i] = digits(tonumber(text)) .. " " .. tostring(whole(text) == tonumber(text))
        end
        return printed"""
    with Server(engine) as server, redis.Redis.from_url(server.url, decode_responses=True) as client:
        printed = client.eval(source, 0, *map(str, EDGES))
        assert printed == [f"{number} {str(number < 1 << 53).lower()}" for number in EDGES]
        strange = "", "-1", "+1", "01", "1.0", "1e3", " 5", "0x10", "nan", "9" * 17
        told = client.eval(
            f"{whole} local r = {{}} for i, t in ipairs(ARGV) do r[i] = tostring(whole(t)) end return r", 0, *strange
        )
        assert not {word for word in told if word not in ("nil", "false")}
