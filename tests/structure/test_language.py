"""The words of the field: what coord once called by names of its own does not come back."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from sources import ROOT

READ = ("coord", "lua", "docs", "benchmarks", "examples", "README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")

NAMES = {
    r"at: (Calls|CallMaker|Runs)": "ops: Calls",
    r"[Ss]eat(s|ed)?": "slot",
    r"Attempts|outcome\.py": "CallState, retry.py",
    r"Links?|asynclinks": "Connection, Pool",
    r"deafen|stray": "unsubscribe, topology_changed",
    r"class _?(Hub|Notices|Place|Bell|Rest|Listen)": "Subscriber, Notifier, Waiter, Event, Wait, Subscribe",
    r"class _?(Within|Together|Undo|Pause)": "WithTimeout, Batch or Gather, Compensate, Sleep",
    r"class (_?Link|Servers|_?Guard|_?Tell)": "Connection, Router, ForkSafeLock, Invoke",
    r"[Kk]eeper|look_(after|away)|(is|was)_gone|def leaving|self\.leaving": "start_renewing, mark_lost, releasing",
    r"anew_in_children|begin_in_child": "register, reset_after_fork",
    r"library\.py|folded|shipped\(|packaged\(": "lualib.py, inline_includes, all_scripts, load",
    r"def (bare|encoded)|nearly_plain": "exact_str, check_name, percent_encode, escape_glob",
    r"survey": "handshake",
    r"def nobody": "new_owner_id",
    r"[Ss]tranger": "foreign writer",
    r"[Aa]sker": "caller",
    r"def judge_\w+": "check_history",
}

PHRASES = {
    r"(three|both|all|in which) worlds": "modes",
    r"[Ww]hoever|[Bb]esides": "a subject; also",
    r"(is|are|was|were|be|been) told": "learns, is notified, gets",
    r"lets? go( of)?|letting go": "release",
    r"of one's own": "own",
    r"(?<!here )(is|are|was|were) no(?= (?!longer\b|more\b))": "is not a",
    r"asked to be left|before he knew|would come too late": "the state, named",
    r"[Gg]ive the (notices|notifications) back": "unsubscribe",
    r"may have run, or run yet": "may have executed, or may still execute",
    r"who is quick|who waits": "waiters",
    r"silent altogether": "received nothing",
    r"belongs to the request": "add to the request",
    r"one truth": "shared",
    r"what is written to": "the datastore",
    r"forgets? as well": "with expiry",
    r"opens every key": "every key starts with",
    r"is no letter": "everything except",
    r"is one of its own": "counts as a different one",
    r"done twice, is one piece": "has no effect",
    r"would leave 64 bits|leave the range of": "overflow",
    r"(open|shut)s? (of )?the window|window (is|was|stays) (shut|open)|opens the window": "a window starts and ends",
}


def _found(table: dict[str, str], text: str) -> Iterator[tuple[str, str]]:
    """Yield the words of the table that are in a text, each with what to write."""
    # One search for all: most texts have none.
    if re.search(rf"\b(?:{'|'.join(table)})(?!\w)", text):
        for words, better in table.items():
            for match in re.finditer(rf"\b(?:{words})(?!\w)", text):
                yield match[0], better


def found(text: str) -> list[tuple[str, str]]:
    """Return the words in a text that are not the field's, each with what to write."""
    return [*_found(NAMES, text), *phrases(text)]


def phrases(text: str) -> list[tuple[str, str]]:
    """Return the phrases in a text that do not read as English, each with what to write."""
    # A sentence may be broken between any two words, behind the mark of a comment too.
    return [*_found(PHRASES, re.sub(r"\s+(?:(?:#|--)\s+)?", " ", text))]


def _files(where: tuple[str, ...]) -> Iterator[Path]:
    for each in where:
        path = ROOT / each
        yield from (
            [path]
            if path.is_file()
            else sorted(file for kind in ("py", "lua", "md") for file in path.rglob(f"*.{kind}"))
        )


def test_the_words_are_those_of_the_field() -> None:
    wrong = [
        f"{name}: {words!r}: write {better}"
        for file in _files(READ)
        for name in [str(file.relative_to(ROOT))]
        for words, better in found(file.read_text(encoding="utf-8"))
    ]
    assert not wrong, "\n".join(wrong)


def test_tests_read_as_english() -> None:
    wrong = [
        f"{file.relative_to(ROOT)}: {words!r}: write {better}"
        for file in _files(("tests",))
        if file != Path(__file__)
        for words, better in phrases(file.read_text(encoding="utf-8"))
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    "text",
    [
        "class _Place:",
        "def once(at: Calls)",
        "a server of one's own",
        "    # Whoever looks after it\n",
        "Loss is\n    # told.",
        "-- who\n-- waits",
        "Renewals are no change.",
        "`forget` opens the window",
    ],
)
def test_each_is_seen(text: str) -> None:
    assert found(text)


@pytest.mark.parametrize(
    "text", ["There is no order.", "it is no longer held", "the seating", "Placeholder", "a pause"]
)
def test_other_words_are_left_alone(text: str) -> None:
    assert not found(text)
