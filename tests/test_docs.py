"""The documents: every Python snippet runs, in order, against a private server; every command is one that exists."""

from __future__ import annotations

import asyncio
import contextlib
import io
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from backends import found

from coord.testing.servers import Server

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
LINKED = sorted({*DOCUMENTS, *ROOT.glob("*.md"), ROOT / "benchmarks/README.md"})
LOCAL = re.compile(r"redis://localhost:6379(?:/0)?")
ENGINE = "redis-8.2"


class Snippet(NamedTuple):
    """A fenced block of a document: its language, the line it begins on, and its text."""

    language: str
    line: int
    text: str


def snippets(document: Path) -> list[Snippet]:
    """All fenced blocks of a document, in order."""
    text = document.read_text(encoding="utf-8")
    return [
        Snippet(found["language"], text.count("\n", 0, found.start("text")) + 1, found["text"])
        for found in re.finditer(r"^```(?P<language>\w*)[^\n]*\n(?P<text>.*?)^```", text, re.MULTILINE | re.DOTALL)
    ]


def commands(document: Path) -> list[str]:
    """The commands of a document's shell snippets that coord brings."""
    lines = [line for each in snippets(document) if each.language in ("sh", "bash") for line in each.text.splitlines()]
    return [
        line.removeprefix("$ ") for line in lines if re.match(r"(\$ )?(coord|python3? -m (coord|benchmarks)) ?", line)
    ]


def run(document: Path, names: dict[str, Any], snippet: Snippet, url: str) -> None:
    """Run a snippet; ``await`` may stand at its top, and errors name the document's line."""
    text = "\n" * (snippet.line - 1) + LOCAL.sub(url, snippet.text)
    code = compile(text, document.name, "exec", flags=_TOP_LEVEL_AWAIT)
    result = eval(code, names)
    if asyncio.iscoroutine(result):
        loop = names.setdefault("__loop__", asyncio.new_event_loop())
        loop.run_until_complete(result)


_TOP_LEVEL_AWAIT = 0x2000  # ast.PyCF_ALLOW_TOP_LEVEL_AWAIT


def test_the_readme_shows_how_it_is_used() -> None:
    """A README without a snippet teaches nothing."""
    assert [each for each in snippets(ROOT / "README.md") if each.language == "python"]


def test_the_readme_fits_one_screen() -> None:
    """What it is, how to install it, ten lines, where next; the rest is in docs/."""
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 45


FOLLOWED = "own-operation.md"
"""A page of files and commands: tests/test_own_operation.py follows it."""

SLOW = ("testing.md", "scripts.md")
"""Pages that run many histories."""

PAGES = [
    pytest.param(page, marks=[pytest.mark.slow] if page.name in SLOW else [], id=page.relative_to(ROOT).as_posix())
    for page in DOCUMENTS
    if page.name != FOLLOWED
]


@pytest.mark.parametrize("document", PAGES)
def test_python_snippets_run(document: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The snippets of one document share their names, as a reader who types them in order would."""
    python = [each for each in snippets(document) if each.language == "python"]
    if not python:
        return
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "__main__"}
    with Server(found()[ENGINE]) as server, contextlib.redirect_stdout(io.StringIO()):
        monkeypatch.setenv("COORD_DSN", server.url)
        try:
            for snippet in python:
                run(document, names, snippet, server.url)
        finally:
            _close(names)


def _close(names: dict[str, Any]) -> None:
    """Close what the snippets left open: readers need not be shown it every time."""
    for each in names.values():
        if hasattr(each, "aclose") and "__loop__" in names:
            names["__loop__"].run_until_complete(each.aclose())
        elif callable(getattr(each, "close", None)) and type(each).__module__.startswith("coord"):
            each.close()
    if "__loop__" in names:
        names["__loop__"].close()


@pytest.mark.slow
@pytest.mark.parametrize(
    "command", sorted({command for document in DOCUMENTS for command in commands(document)}) or ["coord"]
)
def test_commands_exist(command: str) -> None:
    """A command in a document is one that coord has: its help can be asked for."""
    words = shlex.split(command, comments=True)
    module, rest = ("coord", words[1:]) if words[0] == "coord" else (words[2], words[3:])
    named = [word for word in rest[:2] if re.fullmatch(r"[a-z]+", word)]
    ran = subprocess.run(
        [sys.executable, "-m", module, *named[:1], "--help"], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert ran.returncode == 0, f"{command}\n{ran.stdout}{ran.stderr}"


def anchors(document: Path) -> set[str]:
    """The anchors of a document's headings."""
    heads = re.findall(r"^#+ (.+)$", document.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("document", LINKED, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(document: Path) -> None:
    """A relative link leads to a file of the repository, and to a heading in it."""
    for link in re.findall(r"\]\(([^)\s]+)\)", document.read_text(encoding="utf-8")):
        if "://" not in link:
            path, _, anchor = link.partition("#")
            target = (document.parent / path).resolve() if path else document
            assert target.exists(), link
            assert not anchor or anchor in anchors(target), link
