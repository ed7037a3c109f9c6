"""Faults of scripts: from reading them, from running them, from comparing them with their twins."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path

from coord.cli.script.find import read_script, read_text
from coord.errors import ConfigError
from coord.script import Script
from coord.testing.lint import Finding, lint
from coord.testing.lint.callers import clocks_in_calls
from coord.testing.trial import trial

__all__ = ["HISTORIES", "of_error", "of_python", "of_runs", "of_script", "of_text"]

HISTORIES = 100
"""How many histories are compared on each engine."""
_COMMENT = re.compile(r"^--(?! include: ).*$", re.MULTILINE)


def of_text(file: Path) -> list[Finding]:
    """Return what is wrong with the text of a script, in the order of its lines."""
    try:
        source = read_text(file)
    except UnicodeDecodeError:
        return [Finding(str(file), 1, 1, "is not UTF-8")]
    try:
        script = read_script(file)
    except ConfigError as error:
        found = [of_error(file, source, str(error))]
        try:
            # A header with a fault hides none of the Lua's: the same lines, without a word of the header.
            script = Script(file.stem, _COMMENT.sub("--", source), file=str(file), lib=file.parent / "lib")
        except ConfigError:
            return found
        return sorted([*found, *(other for other in lint(script) if other.line != found[0].line)])
    return of_script(script)


def of_script(script: Script) -> list[Finding]:
    """Return what is wrong with the text of a script that could be made."""
    if script.header is None:
        what = "has no header: it says KEYS, ARGV, REPLY, ERRORS, COST and REPEAT; see coord script grammar"
        return [Finding(script.file, 1, 1, what), *lint(script, style=True)]
    return lint(script, style=True)


def of_error(file: Path, source: str, said: str) -> Finding:
    """Return the error of a script that cannot be made as a finding: it begins with file and line."""
    found = re.match(r"(\d+): (.*)", said.removeprefix(f"{file}:"), re.DOTALL)
    line, what = (int(found[1]), found[2]) if found else (1, said.removeprefix(f"{file}: "))
    code = source.split("\n")[line - 1]
    word = re.search(r"^(\w+\[\d+\]) is used|'([^']+)'|lib/(\w+)\.lua|^\w+ (\w+)", what)
    column = code.find(word[word.lastindex or 0] if word else "\n") + 1
    return Finding(str(file), line, max(column, 1), what, code=code)


def of_python(file: Path) -> Iterator[Finding]:
    """Yield where a Python file hands the caller's clock to a script."""
    source = read_text(file)
    try:
        found = list(clocks_in_calls(source))
    except SyntaxError as error:
        raise ConfigError(f"cannot read {file}:{error.lineno}: {error.msg}") from None
    for line, column, what in found:
        yield Finding(str(file), line, column, what, code=source.split("\n")[line - 1])


def of_runs(scripts: list[Script], *, agree: bool) -> Iterator[Finding]:
    """Run scripts that share keys together; with ``agree`` compare memory with every engine."""
    for _, family in groupby(sorted(scripts, key=_kind), key=_kind):
        members = list(family)
        yield from trial(members)
        if agree:
            yield from _compare([script for script in members if script.header])


def _kind(script: Script) -> str:
    return script.header.keys[0].shape.partition("{")[0] if script.header and script.header.keys else ""


def _compare(scripts: Iterable[Script]) -> Iterator[Finding]:
    try:
        from coord.testing.agreement import Disagreement, check_agreement, serving  # noqa: PLC0415  # takes hiredis
        from coord.testing.servers import engines  # noqa: PLC0415  # as above
    except ModuleNotFoundError as error:
        raise ConfigError(f"--agree needs the package {error.name}: pip install 'coord[testing]'") from None
    scripts = list(scripts)
    if not scripts:
        return
    if not engines():
        raise ConfigError("--agree needs a server program: pip install 'coord[servers]', or redis-server on PATH")
    for engine in engines().values():
        with serving(engine) as (server, clock):
            try:
                check_agreement(scripts, [server], clock, histories=HISTORIES)
            except Disagreement as error:
                what = str(error)
            except Exception as error:
                notes: list[str] = getattr(error, "__notes__", [])
                if not any(note.startswith(("the twin of ", "the Lua of ")) for note in notes):
                    raise
                what = f"{error!r}: {notes[0]}"
            else:
                continue
        file = next((each.file for each in scripts if each.file in what), scripts[0].file)
        yield Finding(file, 1, 1, f"{engine.name}: {what}")
        return
