"""A plugin of pytest: which functions of coord each test calls, in every thread, and how long the test takes.

``pytest -p mutants.reached`` writes one JSON line a test into the file that ``COORD_REACHED`` names.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Generator
from functools import cache
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import pytest

import coord

__all__ = ["Reached", "tests_of"]

_ROOT = str(Path(coord.__file__).parent)
_TESTING = str(Path(_ROOT, "testing"))


class Reached:
    """Collects functions while a test runs, its fixtures included."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._codes: set[CodeType] = set()

    def _called(self, frame: FrameType, event: str, _: Any) -> None:
        if event == "call":
            self._codes.add(frame.f_code)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """Write the line of a test after its teardown."""
        self._codes = set()
        started = time.monotonic()
        threading.setprofile(self._called)
        sys.setprofile(self._called)
        try:
            return (yield)
        finally:
            sys.setprofile(None)
            threading.setprofile(None)  # type: ignore[arg-type]  # None is what ends it
            names = {
                f"{Path(code.co_filename).relative_to(_ROOT)}:{code.co_qualname.partition('.<locals>')[0]}"
                for code in tuple(self._codes)
                if code.co_filename.startswith(_ROOT) and not code.co_filename.startswith(_TESTING)
            }
            line = {"test": item.nodeid, "seconds": time.monotonic() - started, "functions": sorted(names)}
            with Path(f"{self._file}.{os.getpid()}").open("a", encoding="utf-8") as out:
                print(json.dumps(line), file=out)


def pytest_configure(config: pytest.Config) -> None:
    """Register the collector where a file is named."""
    if file := os.environ.get("COORD_REACHED"):
        config.pluginmanager.register(Reached(file), "coord-reached")


@cache
def _lines() -> tuple[dict[str, Any], ...]:
    """Return what was written about every test by the processes that ran them."""
    pattern = os.environ.get("COORD_REACHED", "")
    assert pattern, "COORD_REACHED has to name the file that `pytest -p mutants.reached` has written"
    found = Path(pattern)
    return tuple(
        json.loads(line)
        for file in sorted(found.parent.glob(f"{found.name}.*"))
        for line in file.read_text(encoding="utf-8").splitlines()
    )


def tests_of(file: str, function: str, seconds: float, most: int) -> list[str]:
    """Return the quickest tests that call a function, until they take that long.

    First one form of each test, and of these first one of each file: the engines differ less than the tests.
    """
    name = f"{Path(file).relative_to(_ROOT)}:{function}"
    lines = sorted((line for line in _lines() if name in line["functions"]), key=lambda line: line["seconds"])
    forms: Counter[str] = Counter()
    per_file: Counter[str] = Counter()
    ranked: list[tuple[int, int, float, str]] = []
    for line in lines:
        test_file, form = line["test"].partition("::")[0], line["test"].partition("[")[0]
        forms[form] += 1
        per_file[test_file] += 1
        ranked.append((forms[form], per_file[test_file], line["seconds"], line["test"]))
    chosen: list[str] = []
    for _, _, took, test in sorted(ranked):
        seconds -= took
        if (seconds < 0 and chosen) or len(chosen) >= most:
            break
        chosen.append(test)
    return chosen
