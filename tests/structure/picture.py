"""The picture of the imports, ``docs/imports.txt``: `python tests/structure/picture.py` (`make imports`) draws it."""

from __future__ import annotations

from functools import cache

from sources import ROOT, circle, imports, reach

FILE = ROOT / "docs" / "imports.txt"

HEAD = """\
Who imports whom in coord/. Imports run down: a module imports only modules of lower floors.
Beside each module are its direct imports; those that another of them leads to are left out.
`make imports` draws this picture, and a test compares it with the code.
"""


@cache
def floor(name: str) -> int:
    """Return the floor of a module: 0 when it imports no other, else one above the highest that it imports."""
    return 1 + max((floor(each) for each in _below(name)), default=-1)


def drawn() -> str:
    """Return the picture."""
    floors: dict[int, list[str]] = {}
    for name in sorted(imports()):
        floors.setdefault(floor(name), []).append(name)
    width = max(map(len, imports()))
    lines = [HEAD]
    for number, names in sorted(floors.items(), reverse=True):
        lines.append(f"floor {number}")
        lines += [f"  {name:<{width}} {' '.join(_direct(name))}".rstrip() for name in names]
        lines.append("")
    return "\n".join(lines)


def _below(name: str) -> frozenset[str]:
    return imports()[name] - circle(name)


def _direct(name: str) -> list[str]:
    beyond: set[str] = set().union(*(reach(each) - circle(each) for each in _below(name)))
    return sorted(_below(name) - beyond)


if __name__ == "__main__":
    FILE.write_text(drawn(), encoding="utf-8")
