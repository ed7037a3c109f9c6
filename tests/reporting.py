"""What a test run tells at its end: how much was compared, and where something had to be done in another way."""

from __future__ import annotations

from typing import Any

_lines: list[str] = []


def say(line: str) -> None:
    """Have a line printed under the results, once."""
    if line not in _lines:
        _lines.append(line)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print what was said; ``conftest.py`` imports this function, and so pytest finds it."""
    if _lines:
        terminalreporter.section("what was compared")
        for line in _lines:
            terminalreporter.write_line(line)
