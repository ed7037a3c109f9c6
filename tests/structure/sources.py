"""The modules of coord as their source has them: names, syntax trees, and who imports whom."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@cache
def tree(file: Path) -> ast.Module:
    """Return the syntax tree of a file."""
    return ast.parse(file.read_text(encoding="utf-8"), str(file))


@cache
def modules() -> dict[str, Path]:
    """Return every module of coord by its dotted name."""
    return {_dotted(file): file for file in sorted((ROOT / "coord").rglob("*.py"))}


def _dotted(file: Path) -> str:
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def imports() -> dict[str, frozenset[str]]:
    """Return, for each module, the modules of coord that it imports anywhere: in functions and for types as well."""
    return {name: frozenset(_imported(tree(file)) - {name}) for name, file in modules().items()}


def _imported(source: ast.Module) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(source):
        match node:
            case ast.Import(names):
                found.update(each.name for each in names)
            case ast.ImportFrom(str(module), names, 0):
                # A name is a module below this one, or something that is defined in it.
                found.update(below if (below := f"{module}.{each.name}") in modules() else module for each in names)
    return found & modules().keys()


@cache
def reach(name: str) -> frozenset[str]:
    """Return the modules that importing a module leads to; itself is among them if it is in a circle."""
    seen: set[str] = set()
    left = list(imports()[name])
    while left:
        module = left.pop()
        if module not in seen:
            seen.add(module)
            left.extend(imports()[module])
    return frozenset(seen)


@cache
def circle(name: str) -> frozenset[str]:
    """Return the modules that import each other in a circle with this one; none if it is in no circle."""
    return frozenset(each for each in reach(name) if name in reach(each))


@cache
def imported_names(module: str) -> frozenset[tuple[str, str]]:
    """Return what a module imports from others by ``from ... import``: the module it comes from, and the name."""
    return frozenset(
        (str(node.module), each.name)
        for node in ast.walk(tree(modules()[module]))
        if isinstance(node, ast.ImportFrom) and not node.level
        for each in node.names
    )
