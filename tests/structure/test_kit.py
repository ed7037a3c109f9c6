"""coord's own concepts are written with what a user's package may import, and nothing else."""

from __future__ import annotations

import importlib
import re

import pytest
from sources import ROOT, imported_names, imports, modules

from coord.memory.command import COMMANDS

KIT = ("coord.errors", "coord.extend", "coord.leases", "coord.lualib")
"""What a package that extends coord imports; docs/guide/scripts.md says so."""

CONCEPTS = (
    "coord.barriers",
    "coord.claims",
    "coord.execution",
    "coord.group",
    "coord.idempotent",
    "coord.kv",
    "coord.leader",
    "coord.limit",
    "coord.limiter",
    "coord.quota",
    "coord.requests",
    "coord.semaphore",
    "coord.stats",
    "coord.versions",
)
"""Modules and packages of claims, semaphores, groups, barriers, requests, limiters and quotas, and all others."""


def _is_of(module: str, packages: tuple[str, ...]) -> bool:
    return module.startswith(tuple(f"{each}." for each in packages)) or module in packages


MODULES = sorted(module for module in modules() if _is_of(module, CONCEPTS))


def test_every_concept_is_looked_at() -> None:
    """The modules that a coordinator is made of, save what connects and drives it, are all here."""
    assert {module for module in MODULES if module in CONCEPTS} == set(CONCEPTS)
    rest = imports()["coord.coordinator"] - set(MODULES)
    others = {each for each in rest if imports().get(each, set()) & {"coord.extend"}}
    assert not others, f"families that this test does not know: {others}"


@pytest.mark.parametrize("module", sorted({*MODULES} - {"coord.limit"}))
def test_a_concept_imports_the_kit_alone(module: str) -> None:
    others = {each for each in imports()[module] if not _is_of(each, CONCEPTS) and each not in KIT}
    assert not others, f"{module} imports what is not part of the kit: {', '.join(sorted(others))}"


@pytest.mark.parametrize("module", MODULES)
def test_what_it_imports_is_public(module: str) -> None:
    """Each name is in the ``__all__`` of the module that it comes from; errors name limits, which are below the kit."""
    for kit, name in imported_names(module):
        offers = "coord.extend" if module == "coord.limit" else kit
        if offers in KIT and kit.startswith("coord."):
            assert name in importlib.import_module(offers).__all__, f"{module} imports {name}, not offered by {offers}"


def test_every_command_of_the_keyspace_is_compared_with_servers() -> None:
    """Each name is in the tests that run commands on both; those that send and echo are compared with scripts."""
    tests = " ".join(file.read_text(encoding="utf-8") for file in sorted((ROOT / "tests").glob("test_keyspace*.py")))
    words = {word.upper() for word in re.findall(r"\w+", tests)}
    assert COMMANDS.keys() - words == {"ECHO", "PUBLISH", "SPUBLISH"}
