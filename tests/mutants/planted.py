"""A plugin of pytest that plants a fault into coord before the tests are collected: ``COORD_MUTANT`` names it."""

from __future__ import annotations

import os
import pickle

import mutants.targets  # noqa: F401  # it imports coord as a whole
from coord.script import all_scripts
from mutants.child import plant
from mutants.lua import LuaPlace, lua_places
from mutants.recorded import broken


def _in_lua(place: LuaPlace) -> bool:
    """Put a fault into each script that has its place."""
    found = False
    for script in all_scripts():
        for each in lua_places(script.name, script.source):
            if each.name == place.name:
                script.source = broken(script, each).source
                script.__dict__.pop("sha", None)
                found = True
                break
    return found


if text := os.environ.get("COORD_MUTANT"):
    fault = pickle.loads(bytes.fromhex(text))
    assert _in_lua(fault) if isinstance(fault, LuaPlace) else plant(fault), "the fault has no place"
