"""``coord ls``, ``show`` and ``watch`` read a user's families with their own operations."""

from __future__ import annotations

import json
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from live import Live

import coord
from coord.cli import main
from coord.extend import Family

pytest_plugins = ("live_fixtures",)

JARS = '''
from dataclasses import dataclass

from coord.extend import Call, Family, M, Runs, Script, op

LEFT = Script("left", """\\
-- left: how many are left.
--
-- KEYS   jar      string, expiring: how many are left          coord:jar:{name}
-- ARGV   none
-- REPLY  how many are left, or -1
-- ERRORS WRONGTYPE
-- COST   O(1)

local jar = KEYS[1]

local left = redis.pcall("GET", jar)
if type(left) == "table" then
  return left
end
return tonumber(left or -1)
""")


@dataclass(frozen=True)
class Jar:
    left: int
    owner: str


class Jars(Family[M], kind="jar", reader="look"):
    def __init__(self, c: Runs[M], name: str) -> None:
        super().__init__(c)
        self.key = self.ops.key("jar", name)

    @op
    def look(self) -> Call[Jar | None]:
        return self.ops.call(LEFT, (self.key,), (), lambda left: Jar(left, "anna") if left >= 0 else None)
'''


@pytest.fixture
def jars(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A module in the working directory, as a service has it."""
    (tmp_path / "shop_jars.py").write_text(JARS)
    monkeypatch.chdir(tmp_path)
    yield
    sys.modules.pop("shop_jars", None)


@pytest.mark.usefixtures("jars")
def test_entities_are_read_by_the_familys_own_operation(live_server: Live, capsys: Any) -> None:
    live_server.client.set("coord:jar:{sweets}", 5, px=60_000)
    live_server.client.set("coord:jar:{sweets}:log", 5, px=60_000)
    assert main(["ls", "--url", live_server.url, "--json", "--import", "shop_jars"]) == 0
    whole, part = json.loads(capsys.readouterr().out)
    assert (whole["kind"], whole["name"], whole["left"], whole["owner"]) == ("jar", "sweets", 5, "anna")
    assert part["type"] == "string", "the family reads the entity, not the parts of it"
    assert main(["show", live_server.url, "sweets", "--import", "shop_jars"]) == 0
    assert "owner       anna" in capsys.readouterr().out
    assert main(["watch", live_server.url, "--times", "1", "--import", "shop_jars"]) == 0
    assert "left 5, owner anna" in capsys.readouterr().out


@pytest.mark.usefixtures("jars")
def test_a_kind_of_a_family_is_known(live_server: Live, capsys: Any) -> None:
    assert main(["ls", live_server.url, "--kind", "jar", "--import", "shop_jars"]) == 0
    assert "none of coord's kinds" not in capsys.readouterr().err


def test_a_module_that_cannot_be_imported_is_named(live_server: Live, capsys: Any) -> None:
    assert main(["ls", live_server.url, "--import", "no_such_module"]) == 2
    assert "cannot import 'no_such_module': ModuleNotFoundError" in capsys.readouterr().err


@pytest.mark.parametrize("declared", [{"kind": "jar"}, {"reader": "look"}, {"kind": "Jar:", "reader": "look"}])
def test_a_declaration_that_could_not_be_read_is_refused(declared: Any) -> None:
    def look(self: Any) -> None: ...

    with pytest.raises(coord.ConfigError, match="needs a kind"):
        types.new_class("Jars", (Family[Any],), declared, lambda body: body.update(look=look))
