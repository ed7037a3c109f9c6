"""Imports in coord/ run one way, and the picture of them in docs/ is true."""

from __future__ import annotations

import ast

import picture
import pytest
from sources import circle, imports, modules, tree

ABOVE = {
    "coord.redis": ("coord.redis", "coord.connecting", "coord.cli", "coord.testing"),
    "coord.coordinator": ("coord", "coord.connecting", "coord.config", "coord.cli", "coord.testing"),
    "coord.connecting": ("coord", "coord.config", "coord.cli", "coord.testing"),
    "coord.config": ("coord", "coord.cli", "coord.testing"),
    "coord.testing": ("coord.testing", "coord.cli"),
    "coord.cli": ("coord.cli", "coord.__main__"),
}
"""Who alone may import a module or what is in a package: concepts know no client, and the library no command."""

CLIENTS = {"redis", "hiredis", "fakeredis", "rich", "lupa", "hypothesis", "pytest"}
"""Packages that coord can do without; only the parts that are named below import them."""
MAY_USE_PACKAGES = ("coord.redis", "coord.connecting", "coord.cli", "coord.testing")


def _within(name: str, package: str) -> bool:
    return name == package or (package != "coord" and name.startswith(f"{package}."))


def test_imports_make_no_circles() -> None:
    assert {circle(name) for name in modules()} == {frozenset()}


@pytest.mark.parametrize("below", ABOVE)
def test_only_higher_floors_import(below: str) -> None:
    importers = {name for name, found in imports().items() if any(_within(each, below) for each in found)}
    upwards = {name for name in importers if not any(_within(name, above) for above in ABOVE[below])}
    assert not upwards, f"{below} is above these, which import it: {', '.join(sorted(upwards))}"


def test_the_core_imports_no_other_package() -> None:
    for name, file in modules().items():
        if not any(_within(name, part) for part in MAY_USE_PACKAGES):
            found = {each.partition(".")[0] for each in _packages(tree(file))}
            assert not found & CLIENTS, f"{name} imports {', '.join(found & CLIENTS)}"


def _packages(source: ast.Module) -> set[str]:
    nodes = list(ast.walk(source))
    plain = {each.name for node in nodes if isinstance(node, ast.Import) for each in node.names}
    return plain | {str(node.module) for node in nodes if isinstance(node, ast.ImportFrom)}


def test_the_picture_is_true() -> None:
    shown = picture.FILE.read_text(encoding="utf-8") if picture.FILE.exists() else ""
    assert shown == picture.drawn(), "docs/imports.txt is out of date: run `make imports` and commit it"
