"""The files that coord's package carries: libraries for Lua, and the reference of headers."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

__all__ = ["grammar", "library", "resource"]


def library(name: str) -> str:
    """Return the text of ``lua/lib/NAME.lua``; ``FileNotFoundError`` when coord has none of that name."""
    return (resource("lua") / "lib" / f"{name}.lua").read_text(encoding="utf-8")


def grammar() -> str:
    """Return ``docs/scripts.md``, the reference of headers."""
    return (resource("docs") / "scripts.md").read_text(encoding="utf-8")


def resource(folder: str) -> Traversable | Path:
    """Return a folder of the package."""
    inside = files("coord") / folder
    # A checkout or an editable install has the folder next to coord's own.
    return inside if inside.is_dir() else Path(__file__).resolve().parents[2] / folder
