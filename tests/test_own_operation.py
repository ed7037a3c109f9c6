"""The page that leads from an empty folder to a user's own operation, followed to the letter."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

PAGE = Path(__file__).resolve().parent.parent / "docs/guide/own-operation.md"
STEP = re.compile(r"(?:^`(?P<file>[\w.]+)`:\n\n)?^```(?P<language>\w+)\n(?P<text>.*?)^```", re.MULTILINE | re.DOTALL)


class Step(NamedTuple):
    """One block of the page: a file to write, or commands to type."""

    file: str | None
    language: str
    text: str


def _steps() -> list[Step]:
    return [Step(**found.groupdict()) for found in STEP.finditer(PAGE.read_text(encoding="utf-8"))]


@pytest.mark.slow
def test_the_page_works_as_it_stands(tmp_path: Path) -> None:
    scripts = Path(sys.executable).parent
    environment = {**os.environ, "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}", "PYTEST_ADDOPTS": ""}
    environment.pop("COORD_DSN", None)
    install, *steps = _steps()
    assert install.text == "python -m pip install 'coord[redis,testing]'\n", "all else runs, in what this has installed"
    for step in steps:
        if step.file:
            (tmp_path / step.file).write_text(step.text, encoding="utf-8")
            continue
        assert step.language == "sh"
        for line in step.text.splitlines():
            ran = subprocess.run(
                line, shell=True, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
            )
            assert ran.returncode == 0, f"{line}\n{ran.stdout}{ran.stderr}"
            if "Points(coord.connect()" in line:
                assert ran.stdout == "Spent(taken=True, left=70)\n"


def test_the_operation_takes_no_more_than_forty_lines() -> None:
    """Those of the Lua below its header, and of the Python; tests and twin come on top."""
    files = {step.file: step.text.splitlines() for step in _steps() if step.file}
    lua = [line for line in files["spend.lua"] if not line.startswith("--") and line]
    assert len(lua) + len([line for line in files["points.py"] if line]) <= 40
