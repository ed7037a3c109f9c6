"""The scripts that coord ships."""

from __future__ import annotations

from coord.script.resources import resource
from coord.script.script import Script, Twin

__all__ = ["all_scripts", "load"]

_loaded: dict[str, Script] = {}


def load(name: str, twin: Twin) -> Script:
    """Load ``lua/NAME.lua``, one of the scripts that coord ships, and join it to its twin."""
    source = (resource("lua") / f"{name}.lua").read_text(encoding="utf-8")
    script = _loaded[name] = Script(name, source, twin, file=f"lua/{name}.lua")
    # Coord's operations have checked what they were given.
    script.checks_calls = False
    return script


def all_scripts() -> tuple[Script, ...]:
    """Return every script that coord ships and that has been loaded, in the order of their names."""
    return tuple(_loaded[name] for name in sorted(_loaded))
