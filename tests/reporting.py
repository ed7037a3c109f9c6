"""What a test run tells at its end: how much was compared, and where something had to be done in another way.

``conftest.py`` imports the hooks below, and so pytest finds them.
"""

from __future__ import annotations

from typing import Any

import pytest

_lines: list[str] = []


def say(line: str) -> None:
    """Have a line printed under the results, once."""
    if line not in _lines:
        _lines.append(line)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """In a worker of pytest-xdist: hand the lines to the process that prints."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["said"] = _lines


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """In the process that prints: take the lines of a worker that has ended."""
    for line in getattr(node, "workeroutput", {}).get("said", ()):
        say(line)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print the lines."""
    if _lines:
        terminalreporter.section("what was compared")
        for line in sorted(_lines):
            terminalreporter.write_line(line)
