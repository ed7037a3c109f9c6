"""Scripts with a fault in one place: for tests that show that a fault is found."""

from __future__ import annotations

import inspect
from typing import Any, NamedTuple

from agreeing import script

from coord.script import Script

__all__ = ["Mutant", "mutated"]


class Mutant(NamedTuple):
    """A script with a fault: in which of its two tellings, and which words are put in place of which."""

    script: str
    where: str
    old: str
    new: str


def mutated(mutant: Mutant) -> Script:
    """Return the script with its fault."""
    found = script(mutant.script)
    if mutant.where == "lua":
        return Script(found.name, replaced(found.source, mutant), found.twin, file=found.file)
    assert found.twin is not None
    twin: Any = found.twin
    made = dict(twin.__globals__)
    exec(compile(replaced(inspect.getsource(twin), mutant), f"mutant of {found.name}", "exec"), made)
    return Script(found.name, found.source, made[twin.__name__], file=found.file)


def replaced(text: str, mutant: Mutant) -> str:
    assert mutant.old in text, f"{mutant.script} does not say {mutant.old!r} any more: the mutant needs new words"
    return text.replace(mutant.old, mutant.new)
