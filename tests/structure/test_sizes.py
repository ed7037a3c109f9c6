"""Files are small enough to be read: test files have at most 500 lines."""

from __future__ import annotations

from sources import ROOT

MOST = 500


def test_test_files_have_at_most_500_lines() -> None:
    lines = {
        file.relative_to(ROOT).as_posix(): file.read_text(encoding="utf-8").count("\n")
        for file in (ROOT / "tests").rglob("*.py")
    }
    assert not {name for name, count in lines.items() if count > MOST}
