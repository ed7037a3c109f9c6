"""What each mutant has to survive: histories, rows of commands, simulated worlds, and tests."""

from __future__ import annotations

import ast
import difflib
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from mutants.child import Verdict, in_child, plant
from mutants.lua import LuaPlace
from mutants.python import Place, changed
from mutants.recorded import Histories, broken, lua_fails, recorded, twin_fails
from mutants.targets import Mutant, script_named

__all__ = ["EVERY_KIND", "Trial", "difference"]

_TESTS = Path(__file__).parents[1]
_OF_KEYSPACE = (
    *("keyspace", "keyspace_hashes", "keyspace_lists", "keyspace_sets", "keyspace_sorted_sets", "keyspace_streams"),
    *("keyspace_strings", "lua_in_memory", "scripts", "bad_input", "closing", "reentry", "observe"),
)

_OF_FAMILY = {
    "barrier": ("barriers", "barrier_waits"),
    "bump": ("versions",),
    "claim": ("claims", "late_grants"),
    "consume": ("stats",),
    "execution": ("execution", "execute_once"),
    "forget": ("claims",),
    "group": ("groups",),
    "holder": ("claims",),
    "kv": ("kv",),
    "limiter": ("limiter", "limiter_wait"),
    "merge": ("stats",),
    "once": ("claims",),
    "peek": ("stats",),
    "permitted": ("doctor",),
    "quota": ("quota",),
    "release": ("claims",),
    "renew": ("claims", "late_grants"),
    "request": ("requests",),
    "semaphore": ("semaphores", "semaphore_scripts"),
}
"""The tests of a script, by the first word of its name."""

_OF_ALL = ("meaning", "errors", "pitfalls")

_MORE = 10
"""How many times as many histories meet what survived the first."""

_LONGEST = 60.0
"""Seconds that the tests of one mutant took when they were recorded, the quickest first."""

_MOST = 200
"""How many tests run against one mutant of plans or transport."""


class Trial:
    """Runs mutants. ``histories``: how many of each script; ``rows``: of each kind of command; ``tests``: run them too.

    ``keep``: a folder in which what was drawn and asked stays for the next run.
    """

    def __init__(self, *, histories: int, rows: int, worlds: int, tests: bool, seconds: float, keep: str = "") -> None:
        self._histories = histories
        self._rows = rows
        self._worlds = worlds
        self._tests = tests
        self._seconds = seconds
        self._keep = keep
        self.of = cache(lambda name: recorded(name, histories, "fixed"))
        self.more_of = cache(lambda name: recorded(name, _MORE * histories, "fixed"))
        self.rows = cache(self._equal)

    def run(self, mutant: Mutant) -> Verdict:
        """Run one mutant until something finds it."""
        for name in mutant.subjects:
            self.of(name)
        if mutant.group == "keyspace":
            self.prepare_keyspace()
        verdict = in_child(lambda: self._judged(mutant, self.of), self._seconds)
        if verdict[0] == "survived" and self._tests and mutant.subjects:
            for name in mutant.subjects:
                self.more_of(name)
            verdict = in_child(lambda: self._judged(mutant, self.more_of), _MORE * self._seconds)
        if verdict[0] == "survived" and self._tests:
            verdict = self._by_tests(mutant)
        return verdict

    def prepare_keyspace(self) -> None:
        """Draw here what children replay."""
        for name in EVERY_KIND:
            self.of(name)
        if self._rows:
            self.rows()

    def _judged(self, mutant: Mutant, of: Callable[[str], Histories]) -> Verdict:
        place = mutant.place
        if isinstance(place, LuaPlace):
            return self._lua(place, mutant.subjects, of)
        if not plant(place):
            return "invalid", ""
        match mutant.group:
            case "twins":
                return self._twins(mutant.subjects, of)
            case "keyspace":
                return self._keyspace()
            case _:
                return self._simulated()

    def _lua(self, place: LuaPlace, subjects: tuple[str, ...], of: Callable[[str], Histories]) -> Verdict:
        for name in subjects:
            script = script_named(name)
            if name != place.script:
                place = _moved(place, name)
            mutant = broken(script, place)
            if mutant.source == script.source:
                return "invalid", ""
            if number := lua_fails(of(name), mutant):
                return "killed", f"history {number} of {name}"
        return "survived", ""

    def _twins(self, subjects: tuple[str, ...], of: Callable[[str], Histories]) -> Verdict:
        for name in subjects:
            if number := twin_fails(of(name)):
                return "killed", f"history {number} of {name}"
        return "survived", ""

    def _keyspace(self) -> Verdict:
        from mutants.rows import rows_fail

        for name in EVERY_KIND:
            if number := twin_fails(self.of(name)[: self._histories // 4]):
                return "killed", f"history {number} of {name}"
        if self._rows and (number := rows_fail(self.rows())):
            return "killed", f"row {number}"
        return "survived", ""

    def _simulated(self) -> Verdict:
        sys.path.insert(0, str(_TESTS / "sim"))
        from workloads import WORKLOADS

        from coord.testing.sim import TOPOLOGIES, simulate

        topologies = list(TOPOLOGIES)
        for number in range(self._worlds):
            for at, (name, workload) in enumerate(sorted(WORKLOADS.items())):
                try:
                    simulate(workload, [number], topology=topologies[(number + at) % len(topologies)])
                except Exception as error:
                    return "killed", f"{name}, seed {number}: {type(error).__name__}"
        return "survived", ""

    # --- tests -----------------------------------------------------------------------------------

    def _by_tests(self, mutant: Mutant) -> Verdict:
        """Run the tests that concern it. What fails once has to fail twice: the machine may be busy."""
        from mutants.reached import tests_of

        if mutant.group == "keyspace":
            chosen = [str(_TESTS / f"test_{name}.py") for name in _OF_KEYSPACE]
        elif mutant.subjects:
            names = {test for each in mutant.subjects for test in _OF_FAMILY[each.partition("_")[0]]}
            chosen = [str(_TESTS / f"test_{name}.py") for name in (*sorted(names), *_OF_ALL)]
        else:
            assert isinstance(mutant.place, Place)
            chosen = tests_of(mutant.place.file, mutant.place.function, seconds=_LONGEST, most=_MOST)
        if not chosen:
            return "survived", "no test reaches it"
        failed = self._pytest(mutant, chosen)
        if failed and (failed == "endless" or self._pytest(mutant, [failed])):
            return "killed", failed
        return "survived", ""

    def _pytest(self, mutant: Mutant, tests: list[str]) -> str:
        """Return the test that failed; "" for none."""
        engines = "memory" if mutant.group == "keyspace" else "memory,redis-8.2"
        environment = {
            **os.environ,
            "COORD_MUTANT": pickle.dumps(mutant.place).hex(),
            "COORD_ENGINES": engines,
            "COORD_HISTORIES": "40",
            "PYTHONPATH": str(_TESTS),
        }
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-p", "mutants.planted"]
        command += ["-m", "not proof", "--tb=no", "-rfE", *tests]
        try:
            done = subprocess.run(
                command,
                cwd=_TESTS.parent,
                env=environment,
                capture_output=True,
                text=True,
                timeout=30 * self._seconds,
                start_new_session=True,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return "endless"
        assert "not found: " not in done.stderr, done.stderr
        for line in done.stdout.splitlines():
            if line.startswith(("FAILED ", "ERROR ")):
                return line.split(" - ")[0].partition(" ")[2]
        # Without the fault pytest has to start: otherwise its end says nothing.
        assert done.returncode in (0, 5) or self._starts(tests), done.stdout + done.stderr
        return tests[0] if done.returncode not in (0, 5) else ""

    def _starts(self, tests: list[str]) -> bool:
        environment = {**os.environ, "PYTHONPATH": str(_TESTS)}
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--collect-only", *tests]
        return not subprocess.run(
            command, cwd=_TESTS.parent, env=environment, capture_output=True, check=False
        ).returncode

    # --- what is drawn once ----------------------------------------------------------------------

    def _equal(self) -> Any:
        from mutants.rows import rows_fail

        rows = self._asked()
        assert not rows_fail(rows), "the Keyspace without a fault differs from the server"
        return rows

    def _asked(self) -> Any:
        from mutants.rows import recorded_rows

        return _kept(self._keep and f"{self._keep}/rows-{self._rows}.pickle", lambda: recorded_rows(self._rows))


EVERY_KIND = ("claim", "merge", "semaphore_release", "request_done", "kv_lrange", "group_join", "kv_scard")
"""Scripts whose histories use every type of key."""


def _moved(place: LuaPlace, script: str) -> LuaPlace:
    """Return the same place of a library in another script."""
    from mutants.lua import lua_places

    return next(each for each in lua_places(script, script_named(script).source) if each.name == place.name)


def _kept(file: str, make: Callable[[], Any]) -> Any:
    if file and Path(file).is_file():
        return pickle.loads(Path(file).read_bytes())
    made = make()
    if file:
        Path(file).write_bytes(pickle.dumps(made))
    return made


def difference(mutant: Mutant) -> str:
    """Return what a fault changes, in lines."""
    place = mutant.place
    if isinstance(place, LuaPlace):
        data = script_named(place.script).source.encode()
        new = data[: place.start] + place.new.encode() + data[place.end :]
        old_lines, new_lines = data.decode().split("\n"), new.decode().split("\n")
    else:
        tree = ast.parse(Path(place.file).read_text(encoding="utf-8"))
        old_lines, new_lines = ast.unparse(tree).split("\n"), ast.unparse(changed(place)).split("\n")
    lines = difflib.unified_diff(old_lines, new_lines, lineterm="", n=0)
    return "\n".join(f"    {line}" for line in lines if not line.startswith(("---", "+++", "@@")))
