"""What begins with an underscore is used in its own file alone: in coord/, and in the tests and examples as well."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache

import pytest
from sources import ROOT, tree

FOLDERS = ("coord", "examples", "benchmarks", "tests")

PUBLIC = {"_asdict", "_replace", "_fields", "_make", "_exit"}
"""Names of the standard library that are public all the same."""

LEFT_IN_COORD = {
    # asyncio and redis-py offer no public way to these.
    "coord/testing/sim/loop.py": {"_set_running_loop", "_log_destroy_pending"},
    "coord/redis/asyncconnection.py": {"_writer"},
    "coord/redis/connection.py": {"_sock"},
    "coord/redis/opening.py": {"_connect", "_reader", "_writer"},
    "coord/redis/subscriber.py": {"_writer"},
    "coord/redis/dialing.py": {"_force_master_ip"},
}
LEFT_IN_TESTS = {
    # fakeredis offers no clock of its own.
    "_base",
    "_helpers",
    "_socket",
}
"""What is still used, in coord/ by file. Delete here what is gone from the code; nothing is added."""

FILES = sorted(file for folder in FOLDERS for file in (ROOT / folder).rglob("*.py"))


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__") and name not in PUBLIC and name.strip("_") != ""


def defined(source: ast.Module) -> set[str]:
    """Return the names that a file defines: functions, classes, variables, and attributes of ``self``."""
    found: set[str] = set()
    for node in ast.walk(source):
        match node:
            case ast.FunctionDef(name) | ast.AsyncFunctionDef(name) | ast.ClassDef(name):
                found.add(name)
            case ast.Name(name, ast.Store()) | ast.Attribute(ast.Name("self" | "cls"), name, ast.Store()):
                found.add(name)
    return found


def foreign(source: ast.Module) -> Iterator[str]:
    """Yield the private names that a file takes from elsewhere: imported, looked up, or patched."""
    own = defined(source)
    for node in ast.walk(source):
        match node:
            case ast.ImportFrom(_, names):
                yield from (each.name for each in names if is_private(each.name))
            case ast.Attribute(ast.Name("self" | "cls"), _):
                pass
            case ast.Attribute(_, name) if is_private(name) and name not in own:
                yield name
            case ast.Call(ast.Attribute(_, "setattr" | "delattr" | "object"), arguments):
                yield from (name for each in arguments[:2] if (name := patched(each)))


def patched(argument: ast.expr) -> str:
    """Return the private name that a call of ``monkeypatch.setattr`` and its like replaces, or ""."""
    if isinstance(argument, ast.JoinedStr):
        argument = argument.values[-1]
    if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
        parts = argument.value.split(".")
        return next((part for part in parts if is_private(part)), "")
    return ""


@cache
def used() -> dict[str, set[str]]:
    """Return the private names of other files that each file uses."""
    return {file.relative_to(ROOT).as_posix(): names for file in FILES if (names := set(foreign(tree(file))))}


@pytest.mark.slow
def test_a_file_uses_no_private_name_of_another() -> None:
    allowed = {name: LEFT_IN_TESTS if name.startswith("tests/") else LEFT_IN_COORD.get(name, set()) for name in used()}
    new = {name: left for name, names in used().items() if (left := names - allowed[name])}
    assert not new, f"private names of other files: {new}"


@pytest.mark.slow
def test_what_is_no_longer_used_is_not_allowed_any_more() -> None:
    in_tests = set().union(*(names for name, names in used().items() if name.startswith("tests/")))
    assert not LEFT_IN_TESTS - in_tests, f"delete from LEFT_IN_TESTS: {LEFT_IN_TESTS - in_tests}"
    gone = {name: left for name, names in LEFT_IN_COORD.items() if (left := names - used().get(name, set()))}
    assert not gone, f"delete from LEFT_IN_COORD: {gone}"


@pytest.mark.parametrize(
    "line",
    [
        "from coord.config import _url",
        "c._runner.close()",
        "monkeypatch.setattr(c, '_runner', None)",
        "monkeypatch.setattr('coord.config._url', None)",
        "monkeypatch.setattr(f'{module}._url', None)",
        "patch.object(c, '_runner')",
    ],
)
def test_each_way_to_a_private_name_is_seen(line: str) -> None:
    assert list(foreign(ast.parse(line)))
    assert not list(foreign(ast.parse(line.replace("_runner", "runner").replace("_url", "url"))))
