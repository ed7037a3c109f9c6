"""What ``coord script new`` writes, for a script that is called example."""

__all__ = ["LUA", "PYTHON", "TEST"]

LUA = """\
-- example: take one of a limited number of places, for a while.
--
-- KEYS   members  set, expiring: who has a place  coord:example:{name}
-- ARGV   member   name    who asks
--        limit    count   how many places there are
--        ttl_ms   ms      how long all places are kept from now
-- REPLY  {granted, taken}
--        granted  1 when the member has a place, else 0
--        taken    how many places are taken now
-- ERRORS WRONGTYPE
-- COST   O(1), two writes when granted
-- REPEAT safe: who has a place keeps it, and takes no second one

local members = KEYS[1]
local member, limit, ttl_ms = ARGV[1], ARGV[2], ARGV[3]

-- Read and validate first, write last: what is written before an error stays.
local taken = redis.pcall("SCARD", members)
if type(taken) == "table" then
  return taken
end
if redis.call("SISMEMBER", members, member) == 0 then
  if taken >= tonumber(limit) then
    return { 0, taken }
  end
  redis.call("SADD", members, member)
  taken = taken + 1
end
redis.call("PEXPIRE", members, ttl_ms)
return { 1, taken }
"""

PYTHON = '''\
"""example: take one of a limited number of places, for a while.

The script is in ``example.lua``. Here are the function that builds a call of it, and its twin: the same steps in
Python, which run on ``memory://``.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import coord

__all__ = ["EXAMPLE", "Example", "example"]


class Example(NamedTuple):
    """What came of it: whether the member has a place, and how many places are taken now."""

    granted: bool
    taken: int


def example(
    at: coord.Coordinator | coord.AsyncCoordinator, name: str, member: str, limit: int, ttl: float = 60
) -> coord.Call[Example]:
    """Ask for one of ``limit`` places of that name; all are kept for ``ttl`` seconds from now.

    Make the call with ``c.run(example(c, ...))``, or ``await ac.run(example(ac, ...))``.
    """
    if not member or limit < 0:
        raise ValueError("a member has a name, and a limit is not below 0")
    key = at.calls.key("example", name)
    return coord.Call(EXAMPLE, (key,), (member, limit, at.calls.lifetime(ttl)), _read)


def _read(reply: list[int]) -> Example:
    granted, taken = reply
    return Example(granted == 1, taken)


def _twin(space: coord.Keyspace, members: str, member: str, limit: int, ttl_ms: int) -> list[int]:
    taken = space.scard(members)
    if not space.sismember(members, member):
        if taken >= limit:
            return [0, taken]
        space.sadd(members, member)
        taken += 1
    space.pexpire(members, ttl_ms)
    return [1, taken]


_LUA = Path(__file__).with_name("example.lua").read_text(encoding="utf-8")
EXAMPLE = coord.Script("example", _LUA, _twin)
'''

TEST = '''\
"""example: what it is for, and that script and twin are one."""

from __future__ import annotations

import coord
import pytest
from coord.testing.agreement import agree, serving
from coord.testing.lint import lint
from coord.testing.servers import Engine, engines

from example import EXAMPLE, example


def test_only_so_many_have_a_place() -> None:
    with coord.connect("memory://test-example") as c:
        assert c.run(example(c, "printers", "anna", limit=2)) == (True, 1)
        assert c.run(example(c, "printers", "bert", limit=2)) == (True, 2)
        assert c.run(example(c, "printers", "carl", limit=2)) == (False, 2)
        assert c.run(example(c, "printers", "anna", limit=2)) == (True, 2), "who has a place keeps it"


def test_the_checks_find_nothing() -> None:
    """The Lua compiles, takes its keys from KEYS, and asks no clock but the server's."""
    assert lint(EXAMPLE) == []


@pytest.mark.parametrize("engine", engines().values(), ids=engines())
def test_script_and_twin_agree(engine: Engine) -> None:
    """After any history: the same replies and the same keys, with the same time to live."""
    with serving(engine) as (server, clock):
        agree([EXAMPLE], [server], clock, histories=100)
'''
