"""What type checkers see: exact types, blocking and awaited, and errors for wrong uses."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

HERE = Path(__file__).parent
FILES = [HERE / "typing" / "api.py", HERE / "typing" / "kit.py"]
"""What users call, and a package of a user that is written with the kit."""


@pytest.mark.slow
@pytest.mark.skipif(find_spec("mypy") is None, reason="mypy comes with the extra 'lint'")
def test_mypy_agrees() -> None:
    """Strict, and every ignored mistake is one."""
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--warn-unused-ignores",
        "--cache-dir",
        ".mypy_cache",
        *map(str, FILES),
    ]
    ran = subprocess.run(command, check=False, capture_output=True, text=True, cwd=HERE.parent)
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.slow
@pytest.mark.skipif(find_spec("pyright") is None, reason="pyright comes with the extra 'lint'")
def test_pyright_agrees(tmp_path: Path) -> None:
    """The types are the same to another checker, and it finds the same mistakes."""
    settings = {
        "include": [*map(str, FILES)],
        "extraPaths": [str(HERE.parent)],
        "typeCheckingMode": "strict",
        "reportUnnecessaryTypeIgnoreComment": "error",
        "reportUnusedExpression": "none",
        "reportUnusedCoroutine": "none",
    }
    config = tmp_path / "pyrightconfig.json"
    config.write_text(json.dumps(settings))
    command = [sys.executable, "-m", "pyright", "--pythonpath", sys.executable, "--project", str(config)]
    ran = subprocess.run(command, check=False, capture_output=True, text=True, cwd=tmp_path)
    assert ran.returncode == 0, ran.stdout + ran.stderr
