"""Inputs of every kind: a short form of ``python tests/fuzz``, and what it has found."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from fuzz.command import Finding, fuzzed
from fuzz.drawn import PASSWORD
from fuzz.kinds import KINDS
from reporting import say

import coord
from coord.cli import main

pytestmark = pytest.mark.proof

INPUTS = {"operations": 2_000, "urls": 600, "replies": 800, "wire": 600, "headers": 100, "configuration": 400}
FEW = {"arguments": 40, "server": 6}


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The command line reads what is there; warnings about bad servers do not belong to the output."""
    monkeypatch.chdir(tmp_path)
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize(("kind", "inputs"), [*INPUTS.items(), *FEW.items()])
def test_no_input_raises_another_error_or_tells_a_password(kind: str, inputs: int) -> None:
    """CoordError, ValueError or TypeError, in time, and without the password."""
    findings, ends = fuzzed(kind, inputs, "in the suite")
    say(f"fuzz: {kind}: {inputs:,} inputs, {', '.join(f'{name} {count:,}' for name, count in ends.most_common())}")
    assert not findings, "\n".join(f"{each.number!r}: {each.input}\n{each.what}" for each in findings)


def test_every_kind_is_in_the_suite() -> None:
    """A kind that is added is run here too."""
    assert {*INPUTS, *FEW} == {*KINDS}


def test_an_error_that_is_not_documented_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine is awake: a KeyError is found, and so is a password in a message."""

    def raises(*_: object) -> None:
        raise KeyError(PASSWORD)

    def tells(*_: object) -> None:
        raise ValueError(PASSWORD)

    found: list[Finding] = []
    for bad in (raises, tells):
        monkeypatch.setattr("fuzz.kinds.memory_name", bad)
        found += fuzzed("urls", 3, "x")[0]
    assert [("KeyError" in each.what, "the password is in a message" in each.what) for each in found] == [
        (True, False),
        (False, True),
    ]


# --- what it has found ---------------------------------------------------------------------------


@pytest.mark.parametrize("path", [f"http:#9/{PASSWORD}@h", f"redis/Z:{PASSWORD}@127.0.0.1:6379/0"])
def test_a_backend_like_a_url_is_not_quoted(path: str) -> None:
    """A URL with a slip in its scheme was taken for a dotted path, and its password stood in the error."""
    with pytest.raises(coord.ConfigError, match="like a URL") as raised:
        coord.from_config({"backend": path})
    assert PASSWORD not in str(raised.value)


def test_two_dashes_are_not_a_name(capsys: pytest.CaptureFixture[str]) -> None:
    """``coord show -- --`` ended with a traceback on some Pythons."""
    assert main(["show", "--", "--"]) == 2
    assert capsys.readouterr().err.startswith("coord: ")


@pytest.mark.parametrize("path", ["x" * 300, "a\0b", "half of a pair \ud83d"])
def test_a_path_that_no_system_takes_is_one_line(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    """``coord script check`` ended with a traceback."""
    assert main(["script", "check", path]) == 2
    assert capsys.readouterr().err.startswith("coord: cannot read ")


@pytest.mark.parametrize("words", [("script", "check"), ("script", "show"), ("script",), ("ls", "memory://", "x", "y")])
def test_the_command_line_quotes_no_password(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    """A URL where another word is expected stood in the message with its password."""
    try:
        code: object = main([*words, f"redis://u:{PASSWORD}@h/0"])
    except SystemExit as ended:
        code = ended.code
    said = capsys.readouterr().err
    assert code == 2
    assert said
    assert PASSWORD not in said
