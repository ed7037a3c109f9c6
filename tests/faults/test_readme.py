"""The table of README.md: each fault has tests, by the words that select them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
ROW = re.compile(r"\| ([A-G]\d*) \| .+? \| (`.+?`) \| (?:`(.+?)`)? ?\|")
ROWS = [found.groups() for line in (HERE / "README.md").read_text().splitlines() if (found := ROW.fullmatch(line))]
SUBJECTS = {*(f"A{n}" for n in range(1, 11)), *(f"B{n}" for n in range(1, 9)), *(f"C{n}" for n in range(1, 5))}


def test_every_fault_has_a_line() -> None:
    assert {no for no, *_ in ROWS} == SUBJECTS | {"D1", "D2", "D3", "E", "F", "G"}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_each_word_names_a_test(row: tuple[str, str, str | None]) -> None:
    _, files, words = row
    names: list[str] = []
    for name in re.findall(r"`(.+?)`", files):
        path = HERE / name.removeprefix("F/") if name.startswith("F/") else ROOT / name
        here = re.findall(r"^ *(?:async )?def (test_\w+)", path.read_text(), re.MULTILINE)
        assert any(word in each for each in here for word in (words or "test_").split(" or ")), f"none in {name}"
        names += here
    for word in (words or "test_").split(" or "):
        assert any(word in each for each in names), f"no test is called ...{word}..."
