"""The files that ``coord script new`` writes, for a script that is called example.

Words in capitals, ``example`` and ``Family_`` are replaced: see ``coord.cli.script.new``.
"""

__all__ = ["CONFTEST", "IN_A_FILE", "IN_A_PACKAGE", "LUA", "PYTHON", "TEST"]

LUA = """\
-- STEM: take one of a limited number of places, for a while.
--
-- KEYS   members  set, expiring: who has a place  coord:KIND:{name}
-- ARGV   member   name    the caller
--        limit    count   how many places there are
--        ttl_ms   ms      how long all places are kept from now
-- REPLY  {granted, taken}
--        granted  1 when the member has a place, else 0
--        taken    how many places are taken now
-- ERRORS WRONGTYPE
-- COST   O(1), two writes when granted
-- REPEAT safe: a member keeps its place, and takes no second one

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

The script is in ``STEM.lua``. This module has the family whose operation calls it,
and its twin: the same steps in Python, which run on ``memory://``.
"""

from __future__ import annotations

PATH
from typing import NamedTuple

from coord.extend import Call, Family, Keyspace, M, Runs, SCRIPT, Seconds, op

__all__ = ["Family_", "Result"]


class Result(NamedTuple):
    """The answer: whether the member has a place, and how many places are taken now."""

    granted: bool
    taken: int


class Family_(Family[M]):
    """Places of one name: ``Family_(c, name).example(...)``, awaited with an async coordinator."""

    def __init__(self, c: Runs[M], name: str) -> None:
        super().__init__(c)
        self.name = name
        self._members = self.ops.key("KIND", name)

    @op
    def example(self, member: str, limit: int, ttl: Seconds = 60) -> Call[Result]:
        """Ask for one of ``limit`` places; all are kept for ``ttl`` seconds from now."""
        return self.ops.call(EXAMPLE, (self._members,), (member, limit, self.ops.lifetime(ttl)), _read)


def _read(reply: list[int]) -> Result:
    granted, taken = reply
    return Result(granted == 1, taken)


def _twin(space: Keyspace, members: str, member: str, limit: int, ttl_ms: int) -> list[int]:
    taken = space.scard(members)
    if not space.sismember(members, member):
        if taken >= limit:
            return [0, taken]
        space.sadd(members, member)
        taken += 1
    space.pexpire(members, ttl_ms)
    return [1, taken]


EXAMPLE = LOAD
'''

IN_A_FILE = {
    "PATH\n": "from pathlib import Path\n",
    "SCRIPT": "Script",
    "LOAD": 'Script("STEM", Path(__file__).with_name("STEM.lua").read_text(encoding="utf-8"), _twin)',
}
"""The lines with which a module outside a package finds its script."""

IN_A_PACKAGE = {"PATH\n": "", "SCRIPT": "Scripts", "LOAD": 'Scripts("PACKAGE").load("STEM", _twin)'}
"""The same for a module in a package, also in a zip."""

TEST = '''\
"""STEM: what it is for, and that script and twin agree."""

from __future__ import annotations

import coord
from coord.testing.agreement import agree
from coord.testing.lint import lint
from coord.testing.trial import trial

from MODULE import EXAMPLE, Family_


def test_only_so_many_have_a_place() -> None:
    with coord.connect("memory://test-STEM") as c:
        places = Family_(c, "printers")
        assert places.example("anna", limit=2) == (True, 1)
        assert places.example("bert", limit=2) == (True, 2)
        assert places.example("carl", limit=2) == (False, 2)
        assert places.example("anna", limit=2) == (True, 2), "a member keeps its place"


def test_the_checks_find_nothing() -> None:
    """The Lua reads well, and each of many calls in memory is what the header says."""
    assert lint(EXAMPLE) == []
    assert trial([EXAMPLE]) == []


def test_script_and_twin_agree() -> None:
    """After any history, on every server program: the same replies and keys, with the same time to live."""
    for tally in agree(EXAMPLE, least=2).values():
        assert not tally.unreached(2), "these outcomes of its header were not reached"
'''

CONFTEST = '''\
"""Let the tests import the package from the source tree."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "SOURCES"))
'''
