"""A package that extends coord: a family with a script of its own, in every mode and on every backend."""

from __future__ import annotations

import inspect
import sys
from typing import Any

import pytest

import coord
from coord.extend import Call, CoordError, Family, Keyspace, M, ReplyError, Runs, Scripts, Seconds, op

TAKE = """\
-- take: take from a jar, unless too few are left.
--
-- KEYS   jar      string, expiring: how many are left          coord:jar:{name}
-- ARGV   n        count   how many to take
--        size     count   how many a full jar has
--        ttl_ms   ms      how long the jar is kept
-- REPLY  how many are left
-- ERRORS SHOP_EMPTY, WRONGTYPE
-- COST   O(1), one write

local jar = KEYS[1]
local n, size, ttl_ms = ARGV[1], ARGV[2], ARGV[3]

-- include: at_least
local left = redis.pcall("GET", jar)
if type(left) == "table" then
  return left
end
left = tonumber(left or size) - n
if not at_least(left, 0) then
  return redis.error_reply("SHOP_EMPTY the jar has too few")
end
redis.call("SET", jar, left, "PX", ttl_ms)
return left
"""
AT_LEAST = """\
-- at_least: whether a number is not below another.
local function at_least(number, bound)
  return number >= bound
end
"""


class Empty(CoordError):
    """The jar has too few."""


def _take(space: Keyspace, jar: str, n: int, size: int, ttl_ms: int) -> int:
    kept = space.get(jar)
    left = int(size if kept is None else kept) - n
    if left < 0:
        raise ReplyError("SHOP_EMPTY the jar has too few")
    space.set(jar, str(left), px=ttl_ms)
    return left


@pytest.fixture(scope="module")
def jars(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The family, from a package with its own folder of Lua."""
    folder = tmp_path_factory.mktemp("site") / "shop"
    (folder / "lua" / "lib").mkdir(parents=True)
    (folder / "__init__.py").touch()
    (folder / "lua" / "take.lua").write_text(TAKE)
    (folder / "lua" / "lib" / "at_least.lua").write_text(AT_LEAST)
    sys.path.insert(0, str(folder.parent))
    try:
        take = Scripts("shop").load("take", _take, errors={"SHOP_EMPTY": Empty})
    finally:
        sys.path.remove(str(folder.parent))

    class Jar(Family[M]):
        """A jar of sweets."""

        def __init__(self, c: Runs[M], name: str, size: int = 3) -> None:
            super().__init__(c)
            self.key, self.size = self.ops.key("jar", name), size

        @op
        def take(self, n: int = 1, ttl: Seconds = 60) -> Call[int]:
            """Take ``n`` sweets and return how many are left. Raises ``Empty``."""
            return self.ops.call(take, (self.key,), (n, self.size, self.ops.lifetime(ttl)), int)

    return Jar


def test_an_operation_runs_on_every_backend(c: Any, jars: Any) -> None:
    """A user's own error also comes from the Lua and from the twin alike."""
    jar = jars(getattr(c, "inner", c), "sweets")
    take = jar.take if c is getattr(c, "inner", c) else lambda *args: c.run(jars(c.inner.calls, "sweets").take(*args))
    assert take() == 2
    assert take(2) == 0
    with pytest.raises(Empty, match="too few"):
        take()


def test_calls_travel_together(c: Any, jars: Any) -> None:
    jar = jars(c.calls, "sweets")
    first, second, third = c.run_many([jar.take(), jar.take(5), jar.take()])
    assert (first, third) == (2, 1)
    assert isinstance(second, Empty)


async def _awaited(jars: Any) -> int:
    async with coord.connect_async("memory://jars") as ac:
        return int(await jars(ac, "awaited").take(n=2))


def test_an_operation_is_awaited_on_an_async_coordinator(jars: Any) -> None:
    import asyncio

    assert asyncio.run(_awaited(jars)) == 1


def test_help_shows_what_the_user_calls(jars: Any) -> None:
    with coord.connect("memory://jars") as c:
        assert str(inspect.signature(jars(c, "x").take)) == "(n: 'int' = 1, ttl: 'Seconds' = 60) -> 'int'"
        assert (inspect.getdoc(jars.take) or "").startswith("Take ``n`` sweets")
    assert str(inspect.signature(coord.Coordinator.once)).startswith("(self, name: 'str'")
    assert str(inspect.signature(coord.Coordinator.bump)).endswith("-> 'int'")


PLAIN = """
import coord
from coord.extend import Call, Family, Plan, op, planned

class Shop(Family):
    @op
    def sell(self, what: str) -> Call[int]: ...

    @op
    def buy(self) -> "coord.Call[dict[str, int]]": ...

    @planned
    def wait(self, timeout: float = 1.0) -> Plan[bool]: ...
"""


def test_help_shows_results_however_they_are_annotated() -> None:
    """In a module without the future import, by a dotted name, and of a method that waits."""
    names: dict[str, Any] = {}
    exec(compile(PLAIN, "shop.py", "exec", dont_inherit=True), names)
    shown = [str(inspect.signature(getattr(names["Shop"], name))) for name in ("sell", "buy", "wait")]
    assert shown == ["(self, what: str) -> int", "(self) -> 'dict[str, int]'", "(self, timeout: float = 1.0) -> bool"]


@pytest.mark.parametrize("errors", [{"COORD_MINE": Empty}, {"shop": Empty}, {"SHOP_EMPTY": ValueError}])
def test_an_ambiguous_error_is_refused(errors: Any) -> None:
    with pytest.raises(coord.ConfigError):
        coord.Script("take", "return 1", errors=errors)


def test_a_missing_file_names_the_folder(jars: Any) -> None:
    with pytest.raises(coord.ConfigError, match=r"coord/lua has no tkae\.lua"):
        Scripts("coord").load("tkae")
