"""One call on every side, and what has to be equal afterwards."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, Protocol, TypeGuard

from coord.errors import CoordError
from coord.script import Script

__all__ = ["Agreeing", "Answer", "Disagreement", "Failed", "Stored", "Word", "check"]

Word = str | int
Stored = dict[str, tuple[str, Any, int]]
"""Of each key: its type, its value and its PTTL (-1: no deadline)."""

_CORRUPT = "COORD_CORRUPT"
_ANY_PAIRS = re.compile(r"^-- REPLY +\{\w+, \w+, \.\.\.\}", re.MULTILINE)


class Disagreement(AssertionError):  # the result of a test, not an error of its own
    """A script and its twin differ, or a call is not what the header says; the message says in what."""


class Failed(NamedTuple):
    """An error reply, and the exception that it becomes for the caller."""

    text: str
    kind: type[CoordError] = CoordError


class Answer(NamedTuple):
    """A backend's state after a call: the reply, all it stores now, and the channels that were notified, in order.

    ``notices`` is None where a side cannot observe them.
    """

    reply: Any
    stored: Stored
    notices: tuple[str, ...] | None = None


class Agreeing(Protocol):
    """A backend that runs the scripts.

    ``unit_us`` is the smallest step of time that it follows exactly; 1: it is exact also at the very moment of a
    deadline. ``slack_ms`` is by how much less than the twin it may say that a key has left. ``exact_below_ms`` is the
    time above which its deadlines are rounded, to 2 ms; None: never. ``lacks`` has the commands that it does not know;
    they are not drawn.
    """

    name: str
    unit_us: int
    slack_ms: int
    exact_below_ms: int | None
    lacks: frozenset[str]

    def begin(self) -> None:
        """Forget all keys: a new history begins."""
        ...

    def ask(self, script: Script, keys: Sequence[str], argv: Sequence[Word]) -> None:
        """Begin a call."""
        ...

    def answer(self) -> Answer:
        """End the call that was begun."""
        ...


def check(
    twin: Agreeing, backends: Iterable[Agreeing], script: Script, keys: Sequence[str], argv: Sequence[Word]
) -> Answer:
    """Make one call everywhere; return the twin's answer, or raise ``Disagreement``, or what the twin raises."""
    backends = list(backends)
    for side in backends:
        side.ask(script, keys, argv)
    try:
        twin.ask(script, keys, argv)
    except Exception as error:
        # Read the reply, so that the next call does not.
        for side in backends:
            side.answer()
        runs = "the twin" if script.twin else "the Lua"
        error.add_note(f"{runs} of {script.file} raised it, keys={list(keys)!r} argv={list(argv)!r}")
        raise
    mine = twin.answer()
    answers = [(side, side.answer()) for side in backends]
    for side, other in answers:
        _compare(script, keys, argv, mine, side, other)
    return mine


def _compare(
    script: Script, keys: Sequence[str], argv: Sequence[Word], twin: Answer, side: Agreeing, other: Answer
) -> None:
    mine, theirs = twin.reply, other.reply
    here, both = ("of the twin", "and its twin disagree") if script.twin else ("in memory", "and memory disagree")
    if _ANY_PAIRS.search(script.source):
        mine, theirs = _in_pairs(mine), _in_pairs(theirs)
    differences: list[str] = []
    if not _same(mine, theirs, side):
        differences.append(f"the reply: {mine!r:.2000} {here}, {theirs!r:.2000} on {side.name}")
    if twin.stored != other.stored:
        for key in sorted(twin.stored.keys() | other.stored.keys()):
            ours, there = twin.stored.get(key), other.stored.get(key)
            if ours != there and not _nearly(ours, there, side):
                differences.append(f"{key}: {ours!r:.2000} {here}, {there!r:.2000} on {side.name}")
    if other.notices is not None and twin.notices is not None and twin.notices != other.notices:
        differences.append(f"the notices: {list(twin.notices)} {here}, {list(other.notices)} on {side.name}")
    if differences:
        call = f"{script.name} keys={list(keys)!r} argv={list(argv)!r:.2000}"
        raise Disagreement("\n  ".join((f"{script.file} {both} after {call}", *differences)))


def _same(mine: Any, theirs: Any, side: Agreeing) -> bool:
    if isinstance(mine, Failed):
        # A server that stops a script puts the script's name and line around its sentence. Where two values are
        # corrupt, it does not matter which of them is read first.
        text = _CORRUPT if mine.text.startswith(_CORRUPT) else mine.text.removeprefix("ERR ")
        return isinstance(theirs, Failed) and text in theirs.text and theirs.kind in (mine.kind, CoordError)
    if type(mine) is not type(theirs):
        return False
    if is_list(mine):
        return len(mine) == len(theirs) and all(_same(*both, side) for both in zip(mine, theirs, strict=True))
    if side.slack_ms and isinstance(mine, int) and mine > side.slack_ms:
        return bool(0 <= mine - theirs <= side.slack_ms)
    return bool(mine == theirs)


def is_list(reply: Any) -> TypeGuard[list[Any]]:
    """Return whether a reply is an array."""
    return isinstance(reply, list)


def pairs(flat: list[Any]) -> dict[Any, Any]:
    """Return keys and values that come in turns as a dict."""
    return dict(zip(flat[::2], flat[1::2], strict=True))


def _in_pairs(reply: Any) -> Any:
    return pairs(reply) if is_list(reply) else reply


_ROUNDED_MS = 2


def _nearly(here: tuple[str, Any, int] | None, there: tuple[str, Any, int] | None, side: Agreeing) -> bool:
    if here is None or there is None or here[:2] != there[:2] or min(here[2], there[2]) < 0:
        return False
    if side.exact_below_ms is not None and here[2] >= side.exact_below_ms:
        return abs(here[2] - there[2]) <= _ROUNDED_MS
    return 0 <= here[2] - there[2] <= side.slack_ms
