"""Faults planted in scripts of a user: each is found, at its line, by the check that docs/script-checks.md names."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

import pytest

from coord.cli import main
from coord.errors import ConfigError
from coord.script import Script
from coord.testing.servers import engines

SCRIPTS = Path(__file__).parent / "fixtures" / "planted"
SOUND = Path(__file__).parent / "fixtures" / "sound"
FILES = sorted(SCRIPTS.glob("*.lua"))
DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "script-checks.md"

INTRODUCTION = """\
# Planted faults

Each row is a script in `tests/fixtures/planted/` with one fault planted in it: what is wrong with it, which check finds
it, and what that says at which line and column. A test compares this table with what the checks say now.
`python tests/test_planted_faults.py` writes it anew.

| found by | command | finds it |
| --- | --- | --- |
| `Script` | `coord.Script(...)`, and so an import of the module | when the script is made |
| reading | `coord script check PATH`, `coord.testing.lint.lint` | in the text, without running it |
| running | `coord script check PATH`, `coord.testing.trial.trial` | in calls of Lua and twin in memory |
| agreement | `coord script check --agree PATH`, `coord.testing.agreement` | by comparing script and twin on servers |

| script | fault | found by | it says |
| --- | --- | --- | --- |
"""


def check(*words: str) -> tuple[int, list[str]]:
    """Run ``coord script check``; return its exit code and the faults it prints, without the lines below them."""
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        code = main(["script", "check", *words])
    told = printed.getvalue().splitlines()[:-1]
    return code, [line.removeprefix(f"{SCRIPTS}/") for line in told if not line.startswith("    ")]


def found_by(file: Path) -> tuple[str, str]:
    """Return the first check that finds the fault of a script, and what it says; fail when none does."""
    try:
        Script(file.stem, file.read_text(), file=str(file))
    except ConfigError:
        _, (said, *_) = check(str(file))
        return "`Script`", said
    code, told = check("--read-only", str(file))
    if code:
        return "reading", told[0]
    code, told = check(str(file))
    if code:
        return ("`Script`" if "where the twin" in told[0] else "running"), told[0]
    code, told = check("--agree", str(file))
    assert code == 1, f"no check finds the fault of {file.name}"
    return "agreement", told[0]


def row(file: Path) -> str:
    """Return the line of the document for a script."""
    by, said = found_by(file)
    fault = file.read_text().splitlines()[0].partition(": ")[2]
    _, _, said = said.partition(":")
    if by in ("running", "agreement"):
        # The rest shows drawn arguments, or is an engine's own text.
        said = said.partition(" (keys=")[0].partition(" after ")[0]
        said = re.sub(r"1:1: [\w.-]+: (?=\w+\.lua and its twin)", "1:1: ENGINE: ", said)
    said = said.replace(str(SCRIPTS) + "/", "")
    return f"| `{file.stem}` | {fault} | {by} | {said.replace('|', '&#124;')} |"


def documented() -> dict[str, str]:
    """Return the rows of the document by script."""
    lines = DOCUMENT.read_text().removeprefix(INTRODUCTION).splitlines()
    return {line.split("`")[1]: line for line in lines}


def test_the_document_lists_every_script() -> None:
    assert DOCUMENT.read_text().startswith(INTRODUCTION)
    assert list(documented()) == [file.stem for file in FILES]
    assert len(FILES) >= 25


@pytest.mark.slow
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_each_fault_is_found_as_documented(file: Path) -> None:
    if "| agreement |" in documented()[file.stem] and not engines():
        pytest.skip("no server program is here to compare with")
    assert row(file) == documented()[file.stem]


@pytest.mark.parametrize("file", sorted(SOUND.glob("*.lua")), ids=lambda file: file.stem)
def test_sound_scripts_have_no_fault(file: Path) -> None:
    """Scripts as users write them, which do what looks like a fault for good reasons."""
    assert check("--read-only", str(file)) == (0, [])


if __name__ == "__main__":
    rows = [row(file) for file in FILES]
    DOCUMENT.write_text(INTRODUCTION + "\n".join(rows) + "\n")
    print(f"{len(rows)} rows")  # noqa: T201  # the answer of a command
