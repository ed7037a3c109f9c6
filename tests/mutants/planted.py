"""A plugin of pytest that plants a fault into coord before the tests are collected: ``COORD_MUTANT`` names it."""

from __future__ import annotations

import os
import pickle
import pkgutil
from importlib import import_module

import coord
from mutants.child import plant

if text := os.environ.get("COORD_MUTANT"):
    for found in pkgutil.walk_packages(coord.__path__, "coord."):
        if not found.name.startswith(("coord.testing", "coord.cli", "coord.__main__")):
            import_module(found.name)
    assert plant(pickle.loads(bytes.fromhex(text))), "the fault has no place"
