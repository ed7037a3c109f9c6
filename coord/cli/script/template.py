"""What ``coord script new`` writes, for a script that is called example.

The words that are replaced: ``example``, ``Example`` and ``EXAMPLE`` by the script's name, ``STEM`` by its file's,
``KIND`` by the kind in its keys, ``MODULE`` by the module's name for an import.
"""

__all__ = ["CONFTEST", "FROM_FILE", "FROM_PACKAGE", "LUA", "PYTHON", "TEST"]

LUA = """\
-- STEM: take one of a limited number of places, for a while.
--
-- KEYS   members  set, expiring: who has a place  coord:KIND:{name}
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
"""STEM: take one of a limited number of places, for a while.

The script is in ``STEM.lua``. This module has the function that builds a call of it, and its twin: the same steps in
Python, which run on ``memory://``.
"""

from __future__ import annotations

IMPORT
from typing import NamedTuple

import coord

__all__ = ["EXAMPLE", "Example", "example"]


class Example(NamedTuple):
    """The answer: whether the member has a place, and how many places are taken now."""

    granted: bool
    taken: int


def example(
    at: coord.Coordinator | coord.AsyncCoordinator, name: str, member: str, limit: int, ttl: float = 60
) -> coord.Call[Example]:
    """Ask for one of ``limit`` places of that name; all are kept for ``ttl`` seconds from now.

    Make the call with ``c.run(example(c, ...))``, or ``await ac.run(example(ac, ...))``.
    """
    key = at.calls.key("KIND", name)
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


SOURCE
EXAMPLE = coord.Script("STEM", _LUA, _twin)
'''

FROM_FILE = (
    "from pathlib import Path",
    '_LUA = Path(__file__).with_name("STEM.lua").read_text(encoding="utf-8")',
)
"""How a module of its own finds its script: an import, and a line."""

FROM_PACKAGE = (
    "from importlib.resources import files",
    '_LUA = files("PACKAGE").joinpath("STEM.lua").read_text(encoding="utf-8")',
)
"""How a module in a package finds its script, also in a zip."""

TEST = '''\
"""STEM: what it is for, and that script and twin agree."""

from __future__ import annotations

import coord
import pytest
from coord.testing.agreement import check_agreement, serving
from coord.testing.lint import lint
from coord.testing.servers import Engine, engines
from coord.testing.trial import trial

from MODULE import EXAMPLE, example


def test_only_so_many_have_a_place() -> None:
    with coord.connect("memory://test-STEM") as c:
        assert c.run(example(c, "printers", "anna", limit=2)) == (True, 1)
        assert c.run(example(c, "printers", "bert", limit=2)) == (True, 2)
        assert c.run(example(c, "printers", "carl", limit=2)) == (False, 2)
        assert c.run(example(c, "printers", "anna", limit=2)) == (True, 2), "who has a place keeps it"


def test_the_checks_find_nothing() -> None:
    """The Lua reads well, and each of many calls in memory is what the header says."""
    assert lint(EXAMPLE) == []
    assert trial([EXAMPLE]) == []


@pytest.mark.parametrize("engine", engines().values(), ids=engines())
def test_script_and_twin_agree(engine: Engine) -> None:
    """After any history: the same replies and the same keys, with the same time to live."""
    with serving(engine) as (server, clock):
        check_agreement([EXAMPLE], [server], clock, histories=100)
'''

CONFTEST = '''\
"""Let the tests import the package from the source tree."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "SOURCES"))
'''
