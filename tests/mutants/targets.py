"""Where faults may go, group by group, and which are drawn."""

from __future__ import annotations

import dis
import inspect
import pkgutil
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib import import_module
from pathlib import Path
from random import Random
from typing import Any

import coord
from coord.script import Script, all_scripts
from mutants.lua import LuaPlace, lua_places
from mutants.python import Place, places

__all__ = ["GROUPS", "Mutant", "drawn", "named", "script_named"]

GROUPS = {"scripts": 30, "twins": 25, "keyspace": 20, "plans": 12, "transport": 13}
"""Of a hundred mutants, how many are of each group."""

# Scripts are known once their modules are imported: the same ones in every process.
for _found in pkgutil.walk_packages(coord.__path__, "coord."):
    if not _found.name.startswith(("coord.testing", "coord.cli", "coord.__main__")):
        import_module(_found.name)

_ROOT = Path(coord.__file__).parent
_PLANS = (
    *("plan", "drivers", "waiting", "changes", "background", "leader", "idempotent", "notifier"),
    *("leases/*", "limiter/booking", "limiter/handle", "group/membership", "group/__init__"),
)
_SUBJECTS = 3


@dataclass(frozen=True)
class Mutant:
    """A fault, and the scripts whose histories may find it."""

    group: str
    place: Place | LuaPlace
    subjects: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """How a report names it: ``--again`` takes this."""
        return f"{self.group} {self.place.name}"


def drawn(groups: Sequence[str], sites: int, seed: str, among: Sequence[str] = ()) -> list[Mutant]:
    """Draw mutants of some groups: first a rule, each as often as every other, then a place where it applies.

    ``among``: of scripts and twins, only those that the histories of these scripts run.
    """
    whole = sum(GROUPS[group] for group in groups)
    found: list[Mutant] = []
    for group in groups:
        random = Random(f"{seed} {group}")
        by_rule: dict[str, list[Mutant]] = defaultdict(list)
        for mutant in _among(_all(group), among):
            by_rule[mutant.place.rule].append(mutant)
        for rule in by_rule.values():
            random.shuffle(rule)
        wanted = round(sites * GROUPS[group] / whole)
        while wanted > 0 and by_rule:
            rule_name = random.choice(sorted(by_rule))
            found.append(by_rule[rule_name].pop())
            if not by_rule[rule_name]:
                del by_rule[rule_name]
            wanted -= 1
    return found


def _among(found: Iterable[Mutant], scripts: Sequence[str]) -> Iterator[Mutant]:
    for mutant in found:
        if not scripts or not mutant.subjects:
            yield mutant
        elif subjects := tuple(name for name in mutant.subjects if name in scripts):
            yield replace(mutant, subjects=subjects)


def named(name: str) -> Mutant:
    """Return the mutant that a report named."""
    return next(mutant for mutant in _all(name.partition(" ")[0]) if mutant.name == name)


@cache
def _all(group: str) -> tuple[Mutant, ...]:
    return tuple(_GIVE[group]())


def _scripts() -> Iterator[Mutant]:
    """A fault of a library is looked for by a few of the scripts that include it."""
    seen: dict[str, list[str]] = defaultdict(list)
    kept: dict[str, LuaPlace] = {}
    for script in all_scripts():
        for place in lua_places(script.name, script.source):
            kept.setdefault(place.name, place)
            seen[place.name].append(script.name)
    for name, place in kept.items():
        yield Mutant("scripts", place, _some(seen[name]))


@cache
def _of_twins() -> dict[tuple[str, str], list[str]]:
    """Return the functions of twins, each with the scripts whose twins call it."""
    reached: dict[tuple[str, str], list[str]] = defaultdict(list)
    for script in all_scripts():
        assert script.twin is not None
        for file, function in sorted(_functions(inspect.unwrap(script.twin), set())):
            reached[file, function].append(script.name)
    return reached


def _twins() -> Iterator[Mutant]:
    for (file, function), scripts in _of_twins().items():
        for place in places(file):
            # A script reads the clock once, and time stands still until it ends: when it does so says nothing.
            if place.function == function and place.rule != "deadline from the reply":
                yield Mutant("twins", place, _some(scripts))


def _functions(function: Any, seen: set[Any]) -> set[tuple[str, str]]:
    """Return the functions of coord that a twin calls by name, those of the Keyspace left out."""
    if not inspect.isfunction(function) or function in seen:
        return set()
    code = function.__code__
    if not code.co_filename.startswith(str(_ROOT)) or code.co_filename.startswith(str(_ROOT / "memory")):
        return set()
    seen.add(function)
    found = {(code.co_filename, code.co_qualname)}
    for instruction in dis.get_instructions(function):
        if instruction.opname == "LOAD_GLOBAL":
            found |= _functions(function.__globals__.get(instruction.argval), seen)
    return found


def _some(scripts: Iterable[str]) -> tuple[str, ...]:
    names = sorted(set(scripts))
    return tuple(Random(",".join(names)).sample(names, min(_SUBJECTS, len(names))))


def _in(group: str, patterns: Iterable[str]) -> Iterator[Mutant]:
    for pattern in patterns:
        for file in sorted(_ROOT.glob(f"{pattern}.py")):
            for place in places(str(file)):
                # A twin is run by the histories of its group.
                if (place.file, place.function) not in _of_twins():
                    yield Mutant(group, place)


_GIVE = {
    "scripts": _scripts,
    "twins": _twins,
    "keyspace": lambda: _in("keyspace", ("memory/*", "memory/lua/*")),
    "plans": lambda: _in("plans", _PLANS),
    "transport": lambda: _in("transport", ("redis/*",)),
}


def script_named(name: str) -> Script:
    """Return the shipped script of this name."""
    return next(script for script in all_scripts() if script.name == name)
